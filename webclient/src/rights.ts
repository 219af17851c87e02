import { signal } from "@preact/signals";
import { hello, onForbidden } from "./client";
import type { CommandType, Thread } from "./wire";

/** What a reader may do with a thread; each holds the ones before it. */
export type Right = "read" | "write" | "own";

/** What the server has not refused, of threads that belong to others. It tells roles in no other way. */
const left = signal<Record<string, Right>>({});

const WRITING = new Set<CommandType>(["mutate", "generate", "draft", "presence"]);

export function watchRights(): void {
  onForbidden((type, thread) => {
    const right = WRITING.has(type) ? "read" : "write";
    if (left.peek()[thread] !== "read") left.value = { ...left.peek(), [thread]: right };
  });
}

export function rightOn(thread: Thread): Right {
  return isOwn(thread) ? "own" : (left.value[thread.id] ?? "own");
}

export function isOwn(thread: Thread): boolean {
  return thread.owner === hello.value?.principal.id;
}

/** A role may have changed: find out anew. */
export function forgetRights(thread: string): void {
  const { [thread]: _, ...others } = left.peek();
  left.value = others;
}
