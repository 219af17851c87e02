// @vitest-environment jsdom
import { beforeEach, describe, expect, test, vi } from "vitest";
import * as client from "../src/client";
import { clearThreads, drop, loadMoreThreads, moreThreads, place, threads, watchThreadList } from "../src/thread-list";
import type { Event, Thread, Told } from "../src/wire";
import { event as made, thread } from "./build";

let opened: () => void;
let tell: (event: Event) => void;
const call = vi.spyOn(client, "call");
vi.spyOn(client, "onOpened").mockImplementation((handle) => void (opened = handle));
vi.spyOn(client, "onEvent").mockImplementation((handle) => void (tell = handle));
watchThreadList();

/** A server of threads, newest change first. What happens there is told at once, and pages are read when `answer` says. */
class Server {
  readonly all = new Map<string, Thread>();
  private clock = 0;
  private readonly asked: (() => void)[] = [];

  serve = (type: string, fields: object): Promise<never> => {
    if (type !== "thread.list") return Promise.resolve({} as never);
    return new Promise((resolve) => this.asked.push(() => resolve(this.page(fields as { limit: number; cursor?: string }) as never)));
  };

  sorted(): Thread[] {
    return [...this.all.values()].sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1));
  }

  change(id: string, more: Partial<Thread> = {}): void {
    const before = this.all.get(id);
    const updated_at = `2026-01-01T00:00:00.${String(++this.clock).padStart(6, "0")}Z`;
    const summary = thread([], { ...before, id, version: (before?.version ?? 0) + 1, updated_at, ...more });
    this.all.set(id, summary);
    tell(made({ type: before ? "thread.updated" : "thread.created", thread: id, summary }));
  }

  delete(id: string): void {
    this.all.delete(id);
    tell({ type: "thread.deleted", thread: id } satisfies Told);
  }

  async answer(): Promise<void> {
    while (this.asked.length || (await settled(), this.asked.length)) this.asked.shift()!();
    await settled();
  }

  private page({ limit, cursor }: { limit: number; cursor?: string }) {
    const rest = this.sorted().filter(({ updated_at }) => !cursor || updated_at < cursor);
    const page = rest.slice(0, limit);
    return { threads: page, cursor: rest.length > limit ? page.at(-1)!.updated_at : null };
  }
}

const settled = () => new Promise((resolve) => setTimeout(resolve));
const ids = (list: Thread[] | null) => list?.map(({ id }) => id);

let server: Server;

beforeEach(() => {
  clearThreads();
  server = new Server();
  call.mockReset();
  call.mockImplementation(server.serve as never);
});

describe("the list", () => {
  test("watches first, then reads, so that what happens in between is not lost", async () => {
    server.change("a");
    opened();
    await settled();
    expect(call.mock.calls.map(([type]) => type)).toEqual(["watch", "thread.list"]);
    server.change("b");
    await server.answer();
    expect(ids(threads.value)).toEqual(["b", "a"]);
  });

  test("does not bring back what went while an older page was on its way", async () => {
    const page = { threads: [thread([], { id: "a" })], cursor: null };
    call.mockImplementation((async (type: string) => (type === "thread.list" ? (server.delete("a"), page) : {})) as never);
    opened();
    await settled();
    await settled();
    expect(threads.value).toEqual([]);
  });

  test("goes on behind its end, and keeps what it knows of the front", async () => {
    for (let n = 0; n < 60; n++) server.change(`t${n}`);
    opened();
    await server.answer();
    expect(threads.value).toHaveLength(50);
    const more = loadMoreThreads();
    await settled();
    server.change("t3");
    await server.answer();
    await more;
    expect(threads.value).toEqual(server.sorted());
    expect(moreThreads.value).toBeNull();
  });

  test("is read anew after a return, as far as it was unrolled", async () => {
    for (let n = 0; n < 60; n++) server.change(`t${n}`);
    opened();
    await server.answer();
    void loadMoreThreads();
    await server.answer();
    server.all.delete("t9");
    opened();
    await server.answer();
    expect(threads.value).toEqual(server.sorted());
  });

  test("shows at once what was done here", async () => {
    opened();
    await server.answer();
    place(thread([], { id: "mine" }));
    expect(ids(threads.value)).toEqual(["mine"]);
    drop("mine");
    expect(ids(threads.value)).toEqual([]);
  });

  test("is there, if only as it was, where the server tells nothing", async () => {
    server.change("a");
    call.mockImplementation(((type: string, fields: object) =>
      type === "watch" ? Promise.reject(new Error("no")) : server.serve(type, fields)) as never);
    opened();
    await server.answer();
    expect(ids(threads.value)).toEqual(["a"]);
  });

  test.each(Array.from({ length: 20 }, (_, seed) => seed + 1))("equals the server's after whatever happened (seed %i)", async (seed) => {
    const next = (limit: number) => (seed = (seed * 48_271) % 2_147_483_647) % limit;
    opened();
    for (let step = 0; step < 200; step++) {
      const id = `t${next(80)}`;
      const act = next(12);
      if (act < 8) server.change(id, { title: `Title ${step}` });
      else if (act < 10 && server.all.has(id)) server.delete(id);
      else if (act === 10) void loadMoreThreads();
      else await server.answer();
    }
    await server.answer();
    const list = threads.value!;
    expect(list).toEqual(server.sorted().slice(0, list.length));
    expect(list.length === server.all.size).toBe(moreThreads.value === null);
  });
});
