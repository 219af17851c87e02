import { type Signal, signal } from "@preact/signals";
import { forgetAll, recall, remember } from "./memory";

const texts = new Map<string, Signal<string>>();

/** What was typed for a thread and not sent yet (null: the new thread). It outlives a reload and a cut. */
export function unsent(thread: string | null): Signal<string> {
  const key = keyOf(thread);
  let text = texts.get(key);
  if (!text) {
    text = signal(recall(key) ?? "");
    texts.set(key, text);
  }
  return text;
}

export function keep(thread: string | null, text: string): void {
  unsent(thread).value = text;
  remember(keyOf(thread), text);
}

/** Take a text that was sent out of the box again, and nothing that was typed behind it meanwhile. */
export function forget(thread: string | null, sent: string): void {
  const text = unsent(thread).value;
  if (text.startsWith(sent)) keep(thread, text.slice(sent.length).trimStart());
}

/** Forget what was typed anywhere, edits of messages too. */
export function forgetDrafts(): void {
  for (const text of texts.values()) text.value = "";
  forgetAll("unsent.");
  forgetAll("edit.");
}

function keyOf(thread: string | null): string {
  return `unsent.${thread ?? ""}`;
}
