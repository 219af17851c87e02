import { fromSnapshot, type ThreadView } from "../src/thread";
import type { Event, Message, Thread } from "../src/wire";

/** Things to test with, said in as few words as possible. */

const BEGINNING = "2026-01-01T00:00:00Z";

/** An event of which only that is said which matters; the rest is as a server might tell it. */
type Told<E> = E extends { type: string } ? Pick<E, "type"> & Partial<E> : never;

export function event(said: Told<Event>): Event {
  const usual: Partial<Record<Event["type"], object>> = {
    "thread.updated": { by: ME, updated_at: BEGINNING },
    "thread.mutated": { by: ME, updated_at: BEGINNING },
    "run.started": { by: ME, model: "m", instance: "i", sampling: {}, sources: { live: 0, ram: 0, disk: 0 }, dropped: 0 },
    "run.finished": {
      usage: { prompt_tokens: 1, completion_tokens: 1, reused_tokens: 0 },
      timings: { queue_ms: 0, prompt_ms: 0, first_token_ms: 0, generate_ms: 0 },
    },
  };
  return { ...usual[said.type], ...said } as Event;
}

const ME = { id: "me", name: "Me" };

export function message(id: string, more: Partial<Message> = {}): Message {
  const nothing = { by: null, run: null, reason: null, usage: null, timings: null, metadata: {} };
  return { id, role: "user", content: id, state: "done", created_at: BEGINNING, ...nothing, ...more };
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
    metadata: {},
    overflow: "error",
    pinned: false,
    residency: "cold",
    owner: "me",
    forked_from: null,
    created_at: BEGINNING,
    updated_at: BEGINNING,
    ...more,
  };
}

export function view(messages: Message[] = [], more = false): ThreadView {
  return fromSnapshot({ thread: thread(messages), more });
}

export const ids = (of: ThreadView) => of.thread.messages.map(({ id }) => id);
