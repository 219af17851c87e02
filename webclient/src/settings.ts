import { mutate } from "./actions";
import { call } from "./client";
import { loadOlder, openThread } from "./open-thread";
import type { Message, Op, Sampling, Thread } from "./wire";

/** The system message at the front of a thread, once its front is loaded. */
export function systemMessage(thread: Thread): Message | null {
  const first = thread.messages[0];
  return first?.role === "system" ? first : null;
}

/** The system message is the oldest one, so everything before the first page must be here to see it. */
export async function loadFront(): Promise<void> {
  let before: string | undefined;
  while (openThread.peek()?.more) {
    const first = openThread.peek()?.thread.messages[0]?.id;
    if (first === before) return;
    before = first;
    await loadOlder();
  }
}

/** The ops that make `text` the system prompt; none where it is already. */
export function systemOps(thread: Thread, text: string): Op[] {
  const current = systemMessage(thread);
  if (text === (current?.content ?? "")) return [];
  if (current && !text) return [{ op: "delete", message: current.id }];
  if (current) return [{ op: "edit", message: current.id, content: text }];
  const message = { role: "system", content: text } as const;
  const first = thread.messages[0];
  return [first ? { op: "insert", before: first.id, message } : { op: "append", message }];
}

export async function saveSettings(thread: Thread, sampling: Sampling, system: string): Promise<void> {
  if (JSON.stringify(sampling) !== JSON.stringify(thread.sampling)) {
    await call("thread.update", { thread: thread.id, sampling });
  }
  const ops = systemOps(thread, system);
  if (ops.length) await mutate(ops);
}
