import { Component, type FunctionComponent, h } from "preact";

/** A component that renders again only when one of its props is another value. */
export function memo<P extends object>(view: FunctionComponent<P>) {
  return class Memo extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const keys = new Set([...Object.keys(this.props), ...Object.keys(next)]) as Set<keyof P>;
      return [...keys].some((key) => this.props[key] !== next[key]);
    }

    override render() {
      return h(view, this.props as P);
    }
  };
}
