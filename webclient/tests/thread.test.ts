import { describe, expect, test } from "vitest";
import { contentOf, fromSnapshot, reduce, runOf, type ThreadView, withOlder, withPositions } from "../src/thread";
import type { AppliedOp, Event } from "../src/wire";
import { event, ids, message, thread, view } from "./build";

const about = { thread: "t", version: 2 };
const reply = message("a", { role: "assistant", content: "", state: "queued", run: "r" });
const mutated = (seq: number, ...ops: AppliedOp[]): Event => event({ type: "thread.mutated", ...about, seq, ops });
const started = (seq: number): Event => event({
  type: "run.started", ...about, seq, run: "r", message: "a", prompt_tokens: 10, reused_tokens: 4,
});
const delta = (from: number, to: number, text: string): Event => ({ type: "run.delta", thread: "t", run: "r", from, to, text });
const after = (start: ThreadView, ...events: Event[]) => events.reduce(reduce, start);

describe("where reused tokens came from", () => {
  test("stays known after the run has ended", () => {
    const sources = { live: 1, ram: 0, disk: 3 };
    const queued = after(view(), mutated(1, { op: "append", message: reply }), { ...started(2), sources } as Event);
    const done = { ...reply, state: "done" as const };
    const ended = after(queued, event({ type: "run.finished", ...about, seq: 3, run: "r", reason: "stop", message: done }));
    expect(ended.sources).toEqual({ a: sources });
  });
});

describe("seq", () => {
  test("an event that the snapshot has already is skipped", () => {
    const start = fromSnapshot({ thread: thread([], { seq: 5 }), more: false });
    expect(after(start, mutated(5, { op: "append", message: message("x") }))).toBe(start);
  });

  test("a gap makes the thread stale, and a stale thread changes no more", () => {
    const stale = after(view(), mutated(2, { op: "append", message: message("x") }));
    expect(stale.stale).toBe(true);
    expect(after(stale, mutated(1, { op: "append", message: message("x") }))).toBe(stale);
  });

  test("an event of a type from the future still counts", () => {
    const future = { type: "thread.painted", ...about, seq: 1 } as unknown as Event;
    expect(after(view(), future).thread.seq).toBe(1);
  });

  test("events of other threads are not ours", () => {
    const start = view();
    expect(reduce(start, { type: "thread.residency", thread: "other", residency: "live" })).toBe(start);
  });
});

describe("ops", () => {
  const start = view([message("1"), message("2"), message("3")]);
  const applied = (...ops: AppliedOp[]) => after(start, mutated(1, ...ops));

  test("append and insert put whole messages in their places", () => {
    const ops: AppliedOp[] = [
      { op: "append", message: message("4") },
      { op: "insert", before: "1", message: message("0") },
    ];
    expect(ids(applied(...ops))).toEqual(["0", "1", "2", "3", "4"]);
  });

  test("edit replaces the message", () => {
    expect(applied({ op: "edit", message: message("2", { content: "new" }) }).thread.messages[1]?.content).toBe("new");
  });

  test("delete and truncate take messages out", () => {
    expect(ids(applied({ op: "delete", message: "2" }))).toEqual(["1", "3"]);
    expect(ids(applied({ op: "truncate", after: "1" }))).toEqual(["1"]);
    expect(ids(applied({ op: "truncate", after: null }))).toEqual([]);
  });

  test("a cut after a message that was never loaded needs a new snapshot", () => {
    const paged = view([message("3")], true);
    expect(after(paged, mutated(1, { op: "truncate", after: "1" })).stale).toBe(true);
  });

  test("a change among messages that were never loaded changes nothing here", () => {
    const paged = view([message("3")], true);
    const ops: AppliedOp[] = [{ op: "insert", before: "0", message: message("x") }, { op: "delete", message: "1" }];
    expect(ids(after(paged, mutated(1, ...ops)))).toEqual(["3"]);
  });
});

describe("runs", () => {
  const queued = after(view([message("q")]), mutated(1, { op: "append", message: reply }));
  const textOf = (of: ThreadView) => contentOf(of, of.thread.messages.at(-1)!);

  test("a reply grows by deltas and is replaced by what was stored", () => {
    const streaming = after(queued, started(2), delta(0, 1, "Hel"), delta(1, 2, "lo"));
    expect(textOf(streaming)).toBe("Hello");
    expect(streaming.thread.messages[1]?.state).toBe("streaming");
    const whole = { ...reply, content: "Hello!", state: "done" } as const;
    const done = after(streaming, event({ type: "run.finished", ...about, seq: 3, run: "r", reason: "stop", message: whole }));
    expect(textOf(done)).toBe("Hello!");
    expect(done.runs).toEqual({});
  });

  test("a delta that does not begin where the last one ended makes the thread stale", () => {
    expect(after(queued, started(2), delta(0, 2, "Hi"), delta(3, 4, "!")).stale).toBe(true);
    expect(after(queued, started(2), delta(0, 2, "Hi"), delta(1, 3, "i!")).stale).toBe(true);
  });

  test("a delta may bring text without a whole token", () => {
    expect(textOf(after(queued, started(2), delta(0, 1, "a"), delta(1, 1, "b"), delta(1, 2, "c")))).toBe("abc");
  });

  test("a reply that is continued keeps what it had before", () => {
    const old = message("a", { role: "assistant", content: "Once", state: "done" });
    const again = { ...old, state: "queued", run: "r" } as const;
    const going = after(view([old]), mutated(1, { op: "edit", message: again }), started(2), delta(0, 1, " upon"));
    expect(textOf(going)).toBe("Once upon");
  });

  test("a snapshot in the middle of a run goes on with the next delta", () => {
    const streaming = { ...reply, state: "streaming" } as const;
    const run = { run: "r", message: "a", from: 0, to: 3, text: "One two" };
    const start = fromSnapshot({ thread: thread([streaming]), more: false, run });
    expect(textOf(after(start, delta(3, 4, " three")))).toBe("One two three");
  });

  test("places in the queue come from events and, after a snapshot, from the list of runs", () => {
    const told = after(queued, event({ type: "run.queued", ...about, seq: 2, run: "r", position: 2 }));
    expect(runOf(told, reply)?.position).toBe(2);
    const listed = withPositions(queued, [{ id: "r", thread: "t", message: "a", mode: "reply", state: "queued", reason: null, position: 1, by: { id: "me", name: "Me" } }]);
    expect(runOf(listed, reply)?.position).toBe(1);
    expect(runOf(after(told, started(3)), reply)?.position).toBeNull();
  });

  test("progress counts cached tokens as done and ends with the first text", () => {
    const reading = after(queued, started(2), { type: "run.progress", thread: "t", run: "r", cached: 4, processed: 3, total: 10 });
    expect(runOf(reading, reply)?.progress).toEqual({ done: 7, total: 10 });
    expect(runOf(after(reading, delta(0, 1, "x")), reply)?.progress).toBeNull();
  });

  test("how many messages were left out is kept beside the reply", () => {
    expect(after(queued, { ...started(2), dropped: 12 } as Event).dropped).toEqual({ a: 12 });
    expect(after(queued, { ...started(2), dropped: 0 } as Event).dropped).toEqual({});
  });

  test("the reason of a failure is kept beside its message", () => {
    const failed = { ...reply, state: "failed" } as const;
    const error = { code: "internal", message: "Out of memory.", retryable: false, details: {} };
    const end = after(queued, event({ type: "run.finished", ...about, seq: 2, run: "r", reason: "error", message: failed, error }));
    expect(end.errors["a"]).toEqual(error);
  });
});

describe("the thread itself", () => {
  test("only the fields that came change, and null clears", () => {
    const named = { ...view(), thread: thread([], { title: "Old", model: "m1" }) };
    const next = after(named, event({ type: "thread.updated", ...about, seq: 1, title: null }));
    expect(next.thread).toMatchObject({ title: null, model: "m1", version: 2, seq: 1 });
  });

  test("residency needs no seq", () => {
    const next = after(view(), { type: "thread.residency", thread: "t", residency: "disk" });
    expect(next.thread).toMatchObject({ residency: "disk", seq: 0 });
  });

  test("a deleted thread says so", () => {
    expect(after(view(), { type: "thread.deleted", ...about, seq: 1 }).gone).toBe("deleted");
  });

  test("a thread that is taken away says so, and one that was deleted stays deleted", () => {
    const taken: Event = { type: "thread.deleted", thread: "t" };
    expect(after(view(), taken).gone).toBe("unreadable");
    expect(after(view(), { type: "thread.deleted", ...about, seq: 1 }, taken).gone).toBe("deleted");
  });

  test("an older page goes in front, each message once", () => {
    const page = { thread: thread([message("1"), message("2")]), more: false };
    const whole = withOlder(view([message("2"), message("3")], true), page);
    expect(ids(whole)).toEqual(["1", "2", "3"]);
    expect(whole.more).toBe(false);
  });
});
