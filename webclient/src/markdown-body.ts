import { Blocks } from "./blocks";
import { toElement } from "./markdown";
import { morph } from "./morph";

/** Rendering may take one part in so many of the time, however long the block that grows has become. */
const SHARE = 8;

/** Shows a growing Markdown text in an element, block by block. */
export class MarkdownBody {
  private readonly blocks = new Blocks();
  private shown: string[] = [];
  private source: string | null = null;
  private finished = false;
  private notBefore = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly element: Element) {}

  show(source: string, finished: boolean): void {
    if (source === this.source && finished === this.finished) return;
    this.source = source;
    this.finished = finished;
    clearTimeout(this.timer);
    const wait = finished ? 0 : this.notBefore - performance.now();
    if (wait > 0) this.timer = setTimeout(() => this.render(), wait);
    else this.render();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private render(): void {
    const begin = performance.now();
    this.patch(this.blocks.update(this.source ?? "", this.finished));
    this.notBefore = performance.now() + SHARE * (performance.now() - begin);
  }

  private patch(blocks: string[]): void {
    blocks.forEach((html, index) => {
      if (html === this.shown[index]) return;
      const existing = this.element.children[index];
      if (existing) morph(existing, toElement(html));
      else this.element.append(toElement(html));
    });
    while (this.element.children.length > blocks.length) this.element.lastElementChild?.remove();
    this.shown = blocks;
  }
}
