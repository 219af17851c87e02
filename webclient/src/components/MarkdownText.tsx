import { useLayoutEffect, useRef } from "preact/hooks";
import { copy } from "../copy";
import { MarkdownBody } from "../markdown-body";

/** A reply's Markdown. The element's content belongs to `MarkdownBody`, not to Preact. */
export function MarkdownText({ text, finished }: { text: string; finished: boolean }) {
  const element = useRef<HTMLDivElement>(null);
  const body = useRef<MarkdownBody | null>(null);
  useLayoutEffect(() => {
    body.current ??= new MarkdownBody(element.current!);
    body.current.show(text, finished);
  }, [text, finished]);
  useLayoutEffect(() => () => body.current?.stop(), []);
  return <div ref={element} class="message-text markdown" onClick={copyCode} />;
}

async function copyCode(event: MouseEvent): Promise<void> {
  const button = event.target as HTMLElement;
  if (!button.matches(".code-copy")) return;
  const code = button.closest(".code")?.querySelector("code")?.textContent ?? "";
  button.textContent = (await copy(code.replace(/\n$/, ""))) ? "Copied" : "Not copied";
  setTimeout(() => (button.textContent = "Copy"), 1600);
}
