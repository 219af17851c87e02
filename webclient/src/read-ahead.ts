import { signal } from "@preact/signals";
import { call, status } from "./client";
import { recall, remember } from "./memory";
import { unsent } from "./unsent";

/** Whether the model may read a message while it is typed. This browser remembers it; at first it may not. */
export const readAhead = signal(recall("read-ahead") === "on");

const EVERY_MS = 400;

let next: ReturnType<typeof setTimeout> | undefined;

export function setReadAhead(on: boolean): void {
  readAhead.value = on;
  remember("read-ahead", on ? "on" : null);
}

/** Somebody types in a thread: tell the server now and then what stands there by then. */
export function typed(thread: string | null): void {
  if (!thread || !readAhead.peek() || next) return;
  next = setTimeout(() => {
    next = undefined;
    const text = unsent(thread).peek();
    if (text && readAhead.peek() && status.peek().kind === "open") call("draft", { thread, text }).catch(() => {});
  }, EVERY_MS);
}
