import { describe, expect, test } from "vitest";
import { afterTold } from "../src/summaries";
import type { Thread, Told } from "../src/wire";
import { thread } from "./build";

const at = (id: string, minute: number, more: Partial<Thread> = {}) =>
  thread([], { id, updated_at: `2026-01-01T00:${String(minute).padStart(2, "0")}:00.000000Z`, ...more });
const changed = (summary: Thread): Told => ({ type: "thread.updated", thread: summary.id, summary });
const list = [at("c", 30), at("b", 20), at("a", 10)];
const ids = (threads: Thread[]) => threads.map(({ id }) => id);

describe("a list that is watched", () => {
  test("gets new threads, and changed ones, where their last change puts them", () => {
    expect(ids(afterTold(list, false, { type: "thread.created", thread: "d", summary: at("d", 25) }))).toEqual(["c", "d", "b", "a"]);
    expect(ids(afterTold(list, false, changed(at("a", 40))))).toEqual(["a", "c", "b"]);
    expect(ids(afterTold(list, false, changed(at("z", 1))))).toEqual(["c", "b", "a", "z"]);
  });

  test("orders threads of the same moment by id, as the server does", () => {
    expect(ids(afterTold(list, false, changed(at("bb", 20))))).toEqual(["c", "bb", "b", "a"]);
  });

  test("shows a new title and another residency in their place", () => {
    const [, second] = afterTold(list, false, changed(at("b", 20, { title: "New", residency: "disk" })));
    expect(second).toMatchObject({ id: "b", title: "New", residency: "disk" });
  });

  test("loses what is gone", () => {
    expect(ids(afterTold(list, false, { type: "thread.deleted", thread: "b" }))).toEqual(["c", "a"]);
  });

  test("leaves out what belongs behind its end, but keeps its own last thread", () => {
    expect(afterTold(list, true, changed(at("z", 1)))).toBe(list);
    expect(ids(afterTold(list, true, changed(at("a", 10, { residency: "ram" }))))).toEqual(["c", "b", "a"]);
  });

  test("is not set back by what was told before its page was read, unless the thread is another one now", () => {
    const newer = [at("a", 40, { version: 5 })];
    expect(afterTold(newer, false, changed(at("a", 10, { version: 4 })))).toBe(newer);
    const again = at("a", 50, { version: 0, epoch: "f" });
    expect(afterTold(newer, false, changed(again))).toEqual([again]);
  });
});
