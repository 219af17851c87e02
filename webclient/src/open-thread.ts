import { effect, signal } from "@preact/signals";
import { call, onEvent, onOpened, status } from "./client";
import { CommandError, sentenceOf } from "./errors";
import { Framed } from "./framed";
import { route } from "./route";
import { fromSnapshot, isUnfinished, reduce, type ThreadView, withOlder, withPositions } from "./thread";
import { isListed, refreshSoon } from "./thread-list";
import { say } from "./toast";
import type { Event } from "./wire";

const view = new Framed<ThreadView | null>(null);

/** The thread that is looked at, as snapshot and events made it; null while there is none. */
export const openThread = view.shown;

/** Why the thread of the address cannot be shown. */
export const openProblem = signal<string | null>(null);

/** However many of these come, the page is drawn once a frame. */
const FREQUENT = new Set<Event["type"]>(["run.delta", "run.progress"]);

const AGAIN_MS = 1_000;

let subscribed: string | null = null;
let lastRecovery = 0;

export function watchRoute(): void {
  effect(() => {
    const id = route.value;
    queueMicrotask(() => move(id));
  });
  onOpened(() => {
    subscribed = null;
    if (route.value) void subscribe(route.value);
  });
  onEvent(take);
}

function move(id: string | null): void {
  if (view.latest?.thread.id !== id) view.show(null);
  openProblem.value = null;
  if (status.peek().kind !== "open" || subscribed === id) return;
  if (subscribed) call("unsubscribe", { thread: subscribed }).catch(() => {});
  subscribed = null;
  if (id) void subscribe(id);
}

async function subscribe(id: string): Promise<void> {
  subscribed = id;
  try {
    const snapshot = await call("subscribe", { thread: id });
    if (route.peek() !== id) return;
    view.show(fromSnapshot(snapshot));
    openProblem.value = null;
    if (!isListed(id)) refreshSoon();
    if (snapshot.thread.messages.some(isUnfinished)) void askPositions(id);
  } catch (error) {
    if (subscribed === id) subscribed = null;
    // A cut needs no words here: the banner says it, and the return subscribes again.
    if (error instanceof CommandError && route.peek() === id) refuse(error);
  }
}

function refuse(error: CommandError): void {
  if (error.code === "not_found" && view.latest) view.show({ ...view.latest, deleted: true });
  else openProblem.value = sentenceOf(error);
}

/** The snapshot says that messages wait, but not behind how many. */
async function askPositions(id: string): Promise<void> {
  const { runs } = await call("runs", { thread: id }).catch(() => ({ runs: [] }));
  if (view.latest?.thread.id === id) view.show(withPositions(view.latest, runs));
}

function take(event: Event): void {
  const before = view.latest;
  if (before?.thread.id !== event.thread) return;
  const next = reduce(before, event);
  if (next === before) return;
  if (FREQUENT.has(event.type)) view.showSoon(next);
  else view.show(next);
  if (next.stale && !before.stale) recover(event.thread);
}

/** An event was missed. Asked for at most once a second, so that a broken server is not hammered. */
function recover(id: string): void {
  const wait = Math.max(0, lastRecovery + AGAIN_MS - Date.now());
  lastRecovery = Date.now() + wait;
  setTimeout(() => {
    if (route.peek() === id && status.peek().kind === "open") void subscribe(id);
  }, wait);
}

/** Put the page of messages before the oldest known one in front. */
export async function loadOlder(): Promise<void> {
  const { latest } = view;
  const before = latest?.thread.messages[0]?.id;
  if (!latest?.more || !before) return;
  try {
    const page = await call("thread.get", { thread: latest.thread.id, before });
    if (view.latest?.thread.id === latest.thread.id) view.show(withOlder(view.latest, page));
  } catch (error) {
    say(sentenceOf(error));
  }
}
