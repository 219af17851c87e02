import { signal } from "@preact/signals";
import { inviteIn, keepInvite } from "./invite";

const THREAD = /^#\/t\/([A-Za-z0-9_-]{1,64})$/;

/** The id of the thread that the address names, or null for the blank page of a new one. */
export const route = signal<string | null>(read());

export function goTo(thread: string | null): void {
  const hash = addressOf(thread);
  if (location.hash !== hash) location.hash = hash;
  route.value = thread;
}

export function addressOf(thread: string | null): string {
  return thread ? `#/t/${thread}` : "#/";
}

window.addEventListener("hashchange", () => {
  route.value = read();
});

function read(): string | null {
  const invite = inviteIn(location.hash);
  if (!invite) return THREAD.exec(location.hash)?.[1] ?? null;
  keepInvite(invite);
  // Neither the address nor the history shall hold the token.
  history.replaceState(null, "", addressOf(invite.thread));
  return invite.thread;
}
