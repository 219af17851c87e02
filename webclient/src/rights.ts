import { signal } from "@preact/signals";
import { hello, onForbidden } from "./client";
import type { Thread } from "./wire";

/** What a reader may do with a thread; each holds the ones before it. */
export type Right = "read" | "write" | "own";

/** Of threads that belong to others, what a refusal told. The server tells roles in no other way. */
const told = signal<Record<string, Right>>({});

export function watchRights(): void {
  onForbidden((thread, role) => {
    if (role === "viewer") told.value = { ...told.peek(), [thread]: "read" };
    if (role === "participant") told.value = { ...told.peek(), [thread]: "write" };
  });
}

export function rightOn(thread: Thread): Right {
  return isOwn(thread) ? "own" : (told.value[thread.id] ?? "own");
}

export function isOwn(thread: Thread): boolean {
  return thread.owner === hello.value?.principal.id;
}

/** Whether the server has refused something on a thread. */
export function isRefused(thread: string): boolean {
  return thread in told.peek();
}

/** A role may have changed: find out anew. */
export function forgetRights(thread: string): void {
  const { [thread]: _, ...others } = told.peek();
  told.value = others;
}
