import { signal } from "@preact/signals";
import { call, onEvent, onOpened } from "./client";
import { CutError, sentenceOf } from "./errors";
import { afterTold } from "./summaries";
import { say } from "./toast";
import type { Event, Thread, Told } from "./wire";

const PAGE = 50;
const LARGEST_PAGE = 200;
const ENOUGH = 1_000;

/** Threads as they stand in lists, newest change first; their messages are not there. */
export const threads = signal<Thread[] | null>(null);
/** Where the server's list goes on behind ours; null at its end. */
export const moreThreads = signal<string | null>(null);

/** Told while pages are being read, which may hold a thread as it was before or as it became later. */
let meanwhile: Told[] | null = null;
/** Pages are read one after the other. */
let reading: Promise<unknown> = Promise.resolve();

/** Keep the list as the server's is: watch first, then read it, so that nothing falls in between. */
export function watchThreadList(): void {
  onOpened(() => void inTurn(watch).catch(unlessCut));
  onEvent(take);
}

export function loadMoreThreads(count = PAGE): Promise<void> {
  return inTurn(async () => {
    const cursor = moreThreads.peek();
    const list = threads.peek() ?? [];
    if (cursor) await readOn(list, cursor, list.length + count);
  });
}

/** Read on through the list, so that an old thread can be found by its title. */
export async function unrollThreads(): Promise<void> {
  try {
    while (moreThreads.peek() && (threads.peek()?.length ?? 0) < ENOUGH) await loadMoreThreads(LARGEST_PAGE);
  } catch (error) {
    unlessCut(error);
  }
}

/** Show a thread that was just made, without waiting until it is told. */
export function place(summary: Thread): void {
  apply({ type: "thread.created", thread: summary.id, summary });
}

export function patch(id: string, change: Partial<Thread>): void {
  const list = threads.peek();
  if (list) threads.value = list.map((thread) => (thread.id === id ? { ...thread, ...change } : thread));
}

export function drop(id: string): void {
  apply({ type: "thread.deleted", thread: id });
}

/** Show nothing any more: whoever comes next may be somebody else. */
export function clearThreads(): void {
  threads.value = null;
  moreThreads.value = null;
}

async function watch(): Promise<void> {
  meanwhile = [];
  // A list that does not follow is better than none.
  await call("watch", {}).catch(unlessCut);
  await readOn([], null, Math.max(PAGE, threads.peek()?.length ?? 0));
}

async function readOn(start: Thread[], from: string | null, wanted: number): Promise<void> {
  const told = (meanwhile ??= []);
  let list = start;
  let cursor = from;
  do {
    const limit = Math.min(LARGEST_PAGE, wanted - list.length);
    const page = await call("thread.list", cursor ? { limit, cursor } : { limit });
    list = unique([...list, ...page.threads]);
    cursor = page.cursor;
  } while (cursor && list.length < wanted);
  threads.value = told.reduce((next, event) => afterTold(next, Boolean(cursor), event), list);
  moreThreads.value = cursor;
}

function inTurn(read: () => Promise<void>): Promise<void> {
  const turn = reading.then(read).finally(() => (meanwhile = null));
  reading = turn.catch(() => {});
  return turn;
}

function take(event: Event): void {
  if (event.type === "thread.residency") patch(event.thread, { residency: event.residency });
  if (isTold(event)) apply(event);
}

function apply(event: Told): void {
  meanwhile?.push(event);
  const list = threads.peek();
  if (list) threads.value = afterTold(list, Boolean(moreThreads.peek()), event);
}

function isTold(event: Event): event is Told {
  if ("seq" in event) return false;
  return event.type === "thread.created" || event.type === "thread.updated" || event.type === "thread.deleted";
}

/** A cut needs no words: the page says it, and the return reads again. */
function unlessCut(error: unknown): void {
  if (!(error instanceof CutError)) say(sentenceOf(error));
}

/** A thread that changes between two pages would stand in both. */
function unique(list: Thread[]): Thread[] {
  return [...new Map(list.map((thread) => [thread.id, thread])).values()];
}
