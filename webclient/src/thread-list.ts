import { signal } from "@preact/signals";
import { call, onEvent, onOpened, status } from "./client";
import type { Thread } from "./wire";

const PAGE = 50;
const SOON_MS = 250;
/** Contexts move by themselves, and only the open thread tells. */
const NOW_AND_THEN_MS = 15_000;

/** Threads as they stand in lists, newest change first; their messages are not there. */
export const threads = signal<Thread[] | null>(null);
export const moreThreads = signal<string | null>(null);

let soon: ReturnType<typeof setTimeout> | undefined;
let asked = 0;

const TELLING = new Set(["thread.updated", "thread.mutated", "thread.deleted", "run.finished"]);

export function watchThreadList(): void {
  onOpened(() => void refreshThreads());
  window.addEventListener("focus", refreshSoon);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refreshSoon();
  });
  setInterval(() => {
    if (!document.hidden) refreshSoon();
  }, NOW_AND_THEN_MS);
  onEvent((event) => {
    if (TELLING.has(event.type)) refreshSoon();
    if (event.type === "thread.residency") patch(event.thread, { residency: event.residency });
  });
}

export function refreshSoon(): void {
  clearTimeout(soon);
  soon = setTimeout(() => void refreshThreads(), SOON_MS);
}

/** Read the list anew, as far as it was already unrolled. */
export async function refreshThreads(): Promise<void> {
  if (status.peek().kind !== "open") return;
  const turn = ++asked;
  const wanted = Math.max(PAGE, threads.peek()?.length ?? 0);
  let list: Thread[] = [];
  let cursor: string | null = null;
  try {
    do {
      const page = await readPage(Math.min(200, wanted - list.length), cursor);
      list = list.concat(page.threads);
      cursor = page.cursor;
    } while (cursor && list.length < wanted);
  } catch {
    // A cut: the return lists again.
    return;
  }
  if (turn !== asked) return;
  threads.value = unique(list);
  moreThreads.value = cursor;
}

export async function loadMoreThreads(count = PAGE): Promise<void> {
  const cursor = moreThreads.peek();
  if (!cursor) return;
  const turn = ++asked;
  const page = await readPage(count, cursor);
  if (turn !== asked) return;
  threads.value = unique([...(threads.peek() ?? []), ...page.threads]);
  moreThreads.value = page.cursor;
}

export function isListed(id: string): boolean {
  return threads.peek()?.some((thread) => thread.id === id) ?? false;
}

export function patch(id: string, change: Partial<Thread>): void {
  const list = threads.peek();
  if (list) threads.value = list.map((thread) => (thread.id === id ? { ...thread, ...change } : thread));
}

export function drop(id: string): void {
  threads.value = threads.peek()?.filter((thread) => thread.id !== id) ?? null;
}

function readPage(limit: number, cursor: string | null) {
  return call("thread.list", cursor ? { limit, cursor } : { limit });
}

/** A thread that changes between two pages would stand in both. */
function unique(list: Thread[]): Thread[] {
  return [...new Map(list.map((thread) => [thread.id, thread])).values()];
}

const ENOUGH = 1_000;

/** Read on through the list, so that an old thread can be found by its title. */
export async function unrollThreads(): Promise<void> {
  try {
    while (moreThreads.peek() && (threads.peek()?.length ?? 0) < ENOUGH) await loadMoreThreads(200);
  } catch {
    return;
  }
}
