import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Connection, type Status } from "../src/connection";
import { CommandError, CutError } from "../src/errors";
import type { Event } from "../src/wire";

/** The server's end of a socket, in the hands of a test. */
class FakeSocket {
  static all: FakeSocket[] = [];
  static get last() {
    return this.all.at(-1)!;
  }

  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: ((close: { code: number; reason: string }) => void) | null = null;
  sent: { type: string; id: number; [field: string]: unknown }[] = [];

  constructor() {
    FakeSocket.all.push(this);
  }

  send(frame: string) {
    this.sent.push(JSON.parse(frame));
  }

  close() {}

  say(message: object) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  async accept() {
    this.onopen?.();
    this.say({ type: "reply", id: this.sent[0]!.id, ok: { session: "s" } });
    await vi.advanceTimersByTimeAsync(0);
  }
}

let statuses: Status[];
let events: Event[];
let connection: Connection;
let token: string | null;
const kinds = () => statuses.map(({ kind }) => kind);

beforeEach(async () => {
  vi.useFakeTimers();
  FakeSocket.all = [];
  statuses = [];
  events = [];
  token = null;
  const listener = {
    status: (status: Status) => void statuses.push(status),
    opened: () => {},
    event: (event: Event) => void events.push(event),
  };
  connection = new Connection("ws://x", listener, {
    token: () => token,
    open: () => new FakeSocket() as unknown as WebSocket,
  });
  connection.connect();
});

afterEach(() => void vi.useRealTimers());

describe("a session", () => {
  test("begins with hello and is open after its answer", async () => {
    FakeSocket.last.onopen?.();
    expect(FakeSocket.last.sent[0]).toMatchObject({ type: "hello", protocol: 1 });
    expect(kinds()).not.toContain("open");
    await FakeSocket.last.accept();
    expect(kinds().at(-1)).toBe("open");
  });

  test("answers each command with its own reply, and passes events on", async () => {
    await FakeSocket.last.accept();
    const first = connection.call("thread.delete", { thread: "a" });
    const second = connection.call("thread.delete", { thread: "b" });
    const [, one, two] = FakeSocket.last.sent;
    FakeSocket.last.say({ type: "thread.residency", thread: "a", residency: "live" });
    FakeSocket.last.say({ type: "reply", id: two!.id, error: { code: "not_found", message: "No.", retryable: false } });
    FakeSocket.last.say({ type: "reply", id: one!.id, ok: {} });
    await expect(first).resolves.toEqual({});
    await expect(second).rejects.toThrow(CommandError);
    expect(events).toHaveLength(1);
  });

  test("shows the token it has by then, and none where it has none", async () => {
    FakeSocket.last.onopen?.();
    expect(FakeSocket.last.sent[0]).not.toHaveProperty("token");
    token = "secret";
    FakeSocket.last.onclose?.({ code: 1006, reason: "" });
    connection.connect();
    FakeSocket.last.onopen?.();
    expect(FakeSocket.last.sent[0]).toMatchObject({ type: "hello", token: "secret" });
  });

  test("sends nothing while it is not open", async () => {
    await expect(connection.call("ping", {})).rejects.toThrow(CutError);
  });
});

describe("a cut", () => {
  test("is followed by a return, however often it takes", async () => {
    await FakeSocket.last.accept();
    for (let n = 0; n < 6; n++) {
      FakeSocket.last.onclose?.({ code: 1006, reason: "" });
      await vi.advanceTimersByTimeAsync(8_000);
    }
    expect(FakeSocket.all).toHaveLength(7);
    await FakeSocket.last.accept();
    expect(kinds().at(-1)).toBe("open");
  });

  test("loses commands without a key and repeats those with one, frame by frame", async () => {
    await FakeSocket.last.accept();
    const plain = connection.call("thread.delete", { thread: "a" });
    const keyed = connection.call("mutate", { thread: "a", ops: [], key: "k" });
    const frame = FakeSocket.last.sent.at(-1);
    FakeSocket.last.onclose?.({ code: 4001, reason: "shutdown" });
    await expect(plain).rejects.toThrow(CutError);
    await vi.advanceTimersByTimeAsync(8_000);
    await FakeSocket.last.accept();
    expect(FakeSocket.last.sent.slice(1)).toEqual([frame]);
    FakeSocket.last.say({ type: "reply", id: frame!.id, ok: { version: 2, messages: [] } });
    await expect(keyed).resolves.toMatchObject({ version: 2 });
  });

  test("sends a cancel again, and the making of a thread that may be there already", async () => {
    await FakeSocket.last.accept();
    void connection.call("cancel", { run: "r" });
    void connection.call("thread.create", { thread: "t", if_exists: "get" });
    const other = connection.call("thread.create", { thread: "u" });
    FakeSocket.last.onclose?.({ code: 1006, reason: "" });
    await expect(other).rejects.toThrow(CutError);
    connection.connect();
    await FakeSocket.last.accept();
    expect(FakeSocket.last.sent.slice(1).map(({ type }) => type)).toEqual(["cancel", "thread.create"]);
  });

  test("that a frame was too big is not followed by the same frame", async () => {
    await FakeSocket.last.accept();
    const keyed = connection.call("mutate", { thread: "a", ops: [], key: "k" });
    FakeSocket.last.onclose?.({ code: 1009, reason: "" });
    await expect(keyed).rejects.toThrow(CutError);
    connection.connect();
    await FakeSocket.last.accept();
    expect(FakeSocket.last.sent).toHaveLength(1);
  });

  test("says when the next try comes", async () => {
    await FakeSocket.last.accept();
    FakeSocket.last.onclose?.({ code: 1006, reason: "" });
    const { again } = statuses.at(-1) as Extract<Status, { kind: "lost" }>;
    expect(again).toBeGreaterThanOrEqual(Date.now());
    expect(again).toBeLessThan(Date.now() + 250);
    connection.connect();
    expect(statuses.at(-1)).toEqual({ kind: "lost", again: null });
  });

  test("ends at once when somebody asks for it", async () => {
    await FakeSocket.last.accept();
    FakeSocket.last.onclose?.({ code: 1006, reason: "" });
    connection.connect();
    expect(FakeSocket.all).toHaveLength(2);
    connection.connect();
    await vi.advanceTimersByTimeAsync(1_000);
    expect(FakeSocket.all).toHaveLength(2);
  });

  test("leaves no try hanging that began before the network was back", async () => {
    FakeSocket.last.onopen?.();
    await vi.advanceTimersByTimeAsync(2_000);
    connection.connect();
    expect(FakeSocket.all).toHaveLength(2);
    await FakeSocket.last.accept();
    expect(FakeSocket.last.sent.map(({ type }) => type)).toEqual(["hello"]);
  });

  test("is noticed within 30 seconds by an unanswered ping", async () => {
    await FakeSocket.last.accept();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(FakeSocket.last.sent.at(-1)?.type).toBe("ping");
    await vi.advanceTimersByTimeAsync(8_000);
    expect(kinds()).toContain("lost");
  });

  test("is not where anything comes", async () => {
    await FakeSocket.last.accept();
    await vi.advanceTimersByTimeAsync(20_000);
    FakeSocket.last.say({ type: "thread.residency", thread: "a", residency: "live" });
    await vi.advanceTimersByTimeAsync(8_000);
    expect(kinds()).not.toContain("lost");
  });
});

describe("a close that means do not come back", () => {
  test("is final, says why, and fails what waits", async () => {
    await FakeSocket.last.accept();
    const keyed = connection.call("mutate", { thread: "a", ops: [], key: "k" });
    FakeSocket.last.onclose?.({ code: 4507, reason: "forbidden" });
    await expect(keyed).rejects.toThrow(CutError);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeSocket.all).toHaveLength(1);
    expect(statuses.at(-1)).toEqual({ kind: "refused", code: 4507, reason: "forbidden" });
  });

  test("also where hello itself is refused", async () => {
    FakeSocket.last.onopen?.();
    const error = { code: "unauthorized", message: "Who are you?", retryable: false };
    FakeSocket.last.say({ type: "reply", id: 1, error });
    await vi.advanceTimersByTimeAsync(0);
    expect(statuses.at(-1)).toEqual({ kind: "refused", code: 4500, reason: "Who are you?" });
  });

  test.each([["rate_limited", true, "lost"], ["bad_request", false, "refused"]])(
    "a hello that is refused as %s asks nobody for a token",
    async (code, retryable, kind) => {
      FakeSocket.last.onopen?.();
      FakeSocket.last.say({ type: "reply", id: 1, error: { code, message: "No.", retryable } });
      await vi.advanceTimersByTimeAsync(0);
      expect(statuses.at(-1)).toMatchObject({ kind });
      expect(statuses.at(-1)).not.toMatchObject({ code: 4500 });
    },
  );

  test("is what leaving is", async () => {
    await FakeSocket.last.accept();
    connection.leave("Bye.");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(FakeSocket.all).toHaveLength(1);
    expect(statuses.at(-1)).toEqual({ kind: "refused", code: 4500, reason: "Bye." });
  });
});
