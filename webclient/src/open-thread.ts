import { effect, signal } from "@preact/signals";
import { call, hello, onEvent, onOpened, status } from "./client";
import { CommandError, sentenceOf } from "./errors";
import { Framed } from "./framed";
import { invited, takeUp } from "./invite";
import { attend, leaveCompany } from "./presence";
import { forgetRights, isRefused } from "./rights";
import { route } from "./route";
import { fromSnapshot, isUnfinished, reduce, resumed, sinceOf, type ThreadView, withOlder, withPositions } from "./thread";
import { say } from "./toast";
import type { Event, Since, Subscribed } from "./wire";

const view = new Framed<ThreadView | null>(null);

/** The thread that is looked at, as snapshot and events made it; null while there is none. */
export const openThread = view.shown;

/** Why the thread of the address cannot be shown. */
export const openProblem = signal<string | null>(null);

/** However many of these come, the page is drawn once a frame. */
const FREQUENT = new Set<Event["type"]>(["run.delta", "run.progress"]);

const AGAIN_MS = 1_000;

let subscribed: string | null = null;
/** Only the answer to the last subscribe counts: a reader may have gone and come back meanwhile. */
let lastAsked = 0;
let reader: string | null = null;
let lastRecovery = 0;

export function watchRoute(): void {
  effect(() => {
    const id = route.value;
    const asked = invited.value?.thread === id;
    queueMicrotask(() => move(id, asked));
  });
  onOpened(() => {
    subscribed = null;
    if (reader !== hello.peek()?.principal.id) closeThread();
    reader = hello.peek()?.principal.id ?? null;
    if (route.value) void subscribe(route.value);
  });
  onEvent(take);
}

/** Show nothing any more: whoever comes next may be somebody else. */
export function closeThread(): void {
  view.show(null);
  openProblem.value = null;
  leaveCompany();
}

function move(id: string | null, asked: boolean): void {
  if (view.latest?.thread.id !== id) closeThread();
  openProblem.value = null;
  if (status.peek().kind !== "open" || (subscribed === id && !asked)) return;
  if (subscribed && subscribed !== id) call("unsubscribe", { thread: subscribed }).catch(() => {});
  subscribed = null;
  if (id) void subscribe(id);
}

async function subscribe(id: string): Promise<void> {
  subscribed = id;
  const asked = ++lastAsked;
  let refused: CommandError | null = null;
  try {
    refused = await takeUp(id);
    const reply = await call("subscribe", { thread: id, ...whereWeWere(id) });
    if (asked === lastAsked) begin(id, reply);
  } catch (error) {
    if (asked !== lastAsked) return;
    subscribed = null;
    // A cut needs no words here: the page says it, and the return subscribes again.
    if (error instanceof CommandError) refuse(refused ?? error);
  }
}

function whereWeWere(id: string): { since?: Since } {
  const known = view.latest;
  return known?.thread.id === id && !known.stale && !known.gone ? { since: sinceOf(known) } : {};
}

function begin(id: string, reply: Subscribed): void {
  const next = reply.recovered ? view.latest && resumed(view.latest, reply) : fromSnapshot(reply);
  view.show(next);
  if (!next || next.stale) return recover(id);
  openProblem.value = null;
  if (!reply.recovered) forgetRights(id);
  attend(id);
  if (next.thread.messages.some(isUnfinished)) void askPositions(id);
}

function refuse(error: CommandError): void {
  if (error.code === "not_found" && view.latest) view.show({ ...view.latest, gone: view.latest.gone ?? "unreadable" });
  else openProblem.value = sentenceOf(error);
}

/** The snapshot says that messages wait, but not behind how many. */
async function askPositions(id: string): Promise<void> {
  const { runs } = await call("runs", { thread: id }).catch(() => ({ runs: [] }));
  if (view.latest?.thread.id === id) view.show(withPositions(view.latest, runs));
}

function take(event: Event): void {
  if (event.type === "thread.created" && event.thread === route.peek()) letIn(event.thread);
  const before = view.latest;
  if (before?.thread.id !== event.thread) return;
  const next = reduce(before, event);
  if (next === before) return;
  if (FREQUENT.has(event.type)) view.showSoon(next);
  else view.show(next);
  if (next.stale && !before.stale) recover(event.thread);
}

/** To a reader a thread is new also where a role on it was given to him, first or instead of another one. */
function letIn(id: string): void {
  if (subscribed !== id || view.latest?.gone) return void subscribe(id);
  if (!isRefused(id)) return;
  forgetRights(id);
  attend(id);
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
