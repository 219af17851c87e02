import { fromSnapshot, type ThreadView } from "../src/thread";
import type { Message, Thread } from "../src/wire";

/** Things to test with, said in as few words as possible. */

export function message(id: string, more: Partial<Message> = {}): Message {
  return { id, role: "user", content: id, state: "done", created_at: "2026-01-01T00:00:00Z", ...more };
}

export function thread(messages: Message[] = [], more: Partial<Thread> = {}): Thread {
  return {
    id: "t",
    title: null,
    model: "m",
    version: 1,
    seq: 0,
    epoch: "e",
    messages,
    sampling: {},
    residency: "cold",
    owner: "me",
    created_at: "2026-01-01T00:00:00Z",
    updated_at: "2026-01-01T00:00:00Z",
    ...more,
  };
}

export function view(messages: Message[] = [], more = false): ThreadView {
  return fromSnapshot({ thread: thread(messages), more });
}

export const ids = (of: ThreadView) => of.thread.messages.map(({ id }) => id);
