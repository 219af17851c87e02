import { describe, expect, test } from "vitest";
import { contentOf, fromSnapshot, reduce, resumed, sinceOf, type ThreadView } from "../src/thread";
import type { Event, Message, Recovered, RunSnapshot, Since } from "../src/wire";
import { event, message, thread } from "./build";

const about = { thread: "t", version: 1 };
const reply = message("a", { role: "assistant", content: "Once", state: "queued", run: "r" });
const later = message("b", { role: "assistant", content: "", state: "queued", run: "s" });
const usage = { prompt_tokens: 5, reused_tokens: 0 };

/** A session of two runs, the first of which goes on with a reply and brings text without a whole token. */
const told: Event[] = [
  event({ type: "thread.mutated", ...about, seq: 1, ops: [{ op: "append", message: message("q") }, { op: "append", message: reply }] }),
  event({ type: "run.queued", ...about, seq: 2, run: "r", position: 1 }),
  event({ type: "run.started", ...about, seq: 3, run: "r", message: "a", ...usage, dropped: 2 }),
  event({ type: "run.progress", thread: "t", run: "r", cached: 0, processed: 5, total: 5 }),
  event({ type: "run.delta", thread: "t", run: "r", from: 0, to: 1, text: " upon" }),
  event({ type: "thread.mutated", ...about, seq: 4, ops: [{ op: "append", message: later }] }),
  event({ type: "run.delta", thread: "t", run: "r", from: 1, to: 3, text: " a ti" }),
  event({ type: "run.delta", thread: "t", run: "r", from: 3, to: 4, text: "me" }),
  event({ type: "run.finished", ...about, seq: 5, run: "r", reason: "stop", message: { ...reply, content: "Once upon a time", state: "done" } }),
  event({ type: "run.started", ...about, seq: 6, run: "s", message: "b", ...usage }),
  event({ type: "run.delta", thread: "t", run: "s", from: 0, to: 2, text: "And" }),
  event({ type: "thread.updated", ...about, seq: 7, title: "New" }),
];

/** What a server answers a client that comes back when all of `so far` has been told. */
function answer(soFar: Event[], since: Since, vouches: boolean): Recovered {
  const durable = soFar.filter((event) => "seq" in event) as Extract<Event, { seq: number }>[];
  const run = streaming(soFar, since, vouches);
  return { seq: durable.length, events: durable.filter(({ seq }) => seq > since.seq), ...(run && { run }) };
}

function streaming(soFar: Event[], since: Since, vouches: boolean): RunSnapshot | null {
  const started = soFar.filter((event) => event.type === "run.started").at(-1);
  if (!started || soFar.some((event) => event.type === "run.finished" && event.run === started.run)) return null;
  const deltas = soFar.filter((event) => event.type === "run.delta" && event.run === started.run) as Extract<Event, { type: "run.delta" }>[];
  const from = vouches && since.run === started.run ? (since.to ?? 0) : 0;
  const text = deltas.filter((delta) => delta.from >= from).map((delta) => delta.text).join("");
  return { run: started.run, message: started.message, from, to: deltas.at(-1)?.to ?? 0, text };
}

const start = (): ThreadView => fromSnapshot({ thread: thread(), more: false });
const after = (view: ThreadView, events: Event[]) => events.reduce(reduce, view);
/** What a reader sees; how far the prompt was read is not told again. */
const seen = (view: ThreadView) => ({
  ...view,
  runs: Object.fromEntries(Object.entries(view.runs).map(([id, run]) => [id, { ...run, progress: null }])),
  texts: view.thread.messages.map((one) => contentOf(view, one)),
});

describe("coming back", () => {
  const cuts = told.flatMap((_, cut) => told.slice(cut).map((_, more) => [cut, cut + more] as const));

  test.each(cuts)("cut after %i events, back after %i: nothing is repeated or missing", (cut, back) => {
    for (const vouches of [true, false]) {
      const known = after(start(), told.slice(0, cut));
      const returned = resumed(known, answer(told.slice(0, back), sinceOf(known), vouches));
      const end = after(returned, told.slice(back));
      expect(end.stale).toBe(false);
      expect(seen(end)).toEqual(seen(after(start(), told)));
    }
  });

  test("tells what is known: the last seq, and how far the run that writes has come", () => {
    expect(sinceOf(start())).toEqual({ epoch: "e", seq: 0 });
    expect(sinceOf(after(start(), told.slice(0, 7)))).toEqual({ epoch: "e", seq: 4, run: "r", to: 3 });
    expect(sinceOf(after(start(), told.slice(0, 9)))).toEqual({ epoch: "e", seq: 5 });
  });

  test("an answer that leaves a gap, or goes on at another token, asks for the whole thread", () => {
    const known = after(start(), told.slice(0, 5));
    expect(resumed(known, { seq: 9, events: [] }).stale).toBe(true);
    expect(resumed(known, { seq: 5, events: told.slice(8, 9) }).stale).toBe(true);
    const elsewhere = { run: "r", message: "a", from: 3, to: 4, text: "me" };
    expect(resumed(known, { seq: 3, events: [], run: elsewhere }).stale).toBe(true);
  });
});

describe("a server that died", () => {
  const recovered = (text: string, to: number): Event => ({
    type: "run.recovered", ...about, seq: 5, run: "r", message: "a", to, text, content: `Once${text}`,
  });
  const text = (view: ThreadView) => contentOf(view, view.thread.messages.find(({ id }) => id === "a") as Message);

  test("replaces what a run had said, and the run goes on from there", () => {
    const known = after(start(), told.slice(0, 8));
    const next = reduce(known, recovered(" upon a", 2));
    expect(text(next)).toBe("Once upon a");
    expect(text(reduce(next, { type: "run.delta", thread: "t", run: "r", from: 2, to: 3, text: " day" }))).toBe("Once upon a day");
  });

  test("may tell so among what was missed", () => {
    const known = after(start(), told.slice(0, 8));
    const run = { run: "r", message: "a", from: 0, to: 3, text: " upon a day" };
    expect(text(resumed(known, { seq: 5, events: [recovered(" upon a", 2)], run }))).toBe("Once upon a day");
  });
});
