import { call, status } from "./client";

/** Tells the others on a thread that somebody types here. The server forgets it soon, so it is said again. */

const AGAIN_MS = 3_000;
const PAUSE_MS = 4_000;

let said: { thread: string; at: number } | null = null;
let pause: ReturnType<typeof setTimeout> | undefined;

/** The text of the next message has changed. */
export function typedIn(thread: string | null, text: string): void {
  if (!thread || !text.trim()) return stopTyping();
  clearTimeout(pause);
  pause = setTimeout(stopTyping, PAUSE_MS);
  if (said?.thread === thread && Date.now() - said.at < AGAIN_MS) return;
  said = { thread, at: Date.now() };
  tell(thread, true);
}

/** The message was sent or given up, or whoever typed stopped to think. */
export function stopTyping(): void {
  clearTimeout(pause);
  if (said) tell(said.thread, false);
  said = null;
}

/** Not worth a word where it fails. */
function tell(thread: string, typing: boolean): void {
  if (status.peek().kind === "open") call("presence", { thread, typing }).catch(() => {});
}
