import { call, leave } from "./client";
import { mintId } from "./ids";
import { closeThread, openThread } from "./open-thread";
import { goTo, route } from "./route";
import { isUnfinished } from "./thread";
import { clearThreads, drop, patch, place } from "./thread-list";
import { titleFrom } from "./title";
import { forget, forgetDrafts, keep } from "./unsent";
import { turns } from "./view";
import type { Generate, Message, Mode, Op, Thread } from "./wire";

/** What a reader can ask for. Each promise fails with the server's own sentence. */

/** Send what was typed, in a new thread where none is open. The text stays unsent until it is accepted. */
export async function send(text: string): Promise<void> {
  const thread = route.peek() ?? (await begin(text));
  if (openThread.peek()?.thread.title === null) void rename(thread, titleFrom(text)).catch(() => {});
  const ops: Op[] = [{ op: "append", message: { role: "user", content: trimmed(text) } }];
  await generate(thread, { ops, if_busy: "enqueue" });
  forget(thread, text);
}

async function begin(text: string): Promise<string> {
  const thread = await createThread(titleFrom(text));
  keep(thread, text);
  keep(null, "");
  goTo(thread);
  return thread;
}

export async function createThread(title?: string): Promise<string> {
  const { thread } = await call("thread.create", { thread: mintId(), if_exists: "get", ...(title && { title }) });
  place({ ...thread, messages: [] });
  return thread.id;
}

/** Change what was said, forget everything after it, and go on from there. */
export async function editAndGoOn(message: Message, content: string): Promise<void> {
  const ops: Op[] = [
    { op: "edit", message: message.id, content },
    { op: "truncate", after: message.id },
  ];
  await generate(here(), { ops, if_busy: "interrupt" });
}

export async function editOnly(message: Message, content: string): Promise<void> {
  await mutate([{ op: "edit", message: message.id, content }]);
}

export async function deleteMessage(message: Message): Promise<void> {
  await mutate([{ op: "delete", message: message.id }]);
}

export async function again(mode: Mode): Promise<void> {
  await generate(here(), { mode });
}

export async function fork(message: Message): Promise<void> {
  const title = openThread.peek()?.thread.title;
  const at = { thread: here(), at: message.id, new_thread: mintId() };
  const { thread } = await call("thread.fork", title ? { ...at, title } : at);
  place({ ...thread, messages: [] });
  goTo(thread.id);
}

export async function cancel(run: string): Promise<void> {
  await call("cancel", { run });
}

/** Make the open thread's context live, or put it on disk. Its events show what comes of it. */
export async function move(where: "warm" | "evict"): Promise<void> {
  await call(where, { thread: here() });
}

/** The run that Stop stops: the one that writes, else the first that waits. */
export function currentRun(messages: Message[]): string | null {
  const unfinished = messages.filter((message) => isUnfinished(message) && message.run);
  const streaming = unfinished.find(({ state }) => state === "streaming");
  return (streaming ?? unfinished[0])?.run ?? null;
}

export async function rename(thread: string, title: string): Promise<void> {
  const next = title.trim() || null;
  await call("thread.update", { thread, title: next });
  patch(thread, { title: next });
}

export async function deleteThread(thread: Thread): Promise<void> {
  await call("thread.delete", { thread: thread.id });
  if (route.peek() === thread.id) goTo(null);
  drop(thread.id);
  keep(thread.id, "");
}

/** End the session, and leave nothing of it to whoever sits down here next. */
export function signOut(): void {
  leave();
  closeThread();
  clearThreads();
  forgetDrafts();
  goTo(null);
}

export async function mutate(ops: Op[]): Promise<void> {
  await call("mutate", { thread: here(), ops, key: mintId() });
}

async function generate(thread: string, asked: Omit<Generate, "thread" | "run" | "key">): Promise<void> {
  await call("generate", { thread, run: mintId(), key: mintId(), ...asked });
  turns.value++;
}

function here(): string {
  const thread = route.peek();
  if (!thread) throw new Error("No thread is open.");
  return thread;
}

/** Without empty lines around it; the indent of a first line of code stays. */
function trimmed(text: string): string {
  return text.replace(/^(?:[ \t]*\n)+/, "").trimEnd();
}
