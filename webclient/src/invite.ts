import { signal } from "@preact/signals";
import { call } from "./client";
import { CommandError } from "./errors";
import { inThisTab, recall, remember } from "./memory";

/**
 * Invitations. Their token travels in the fragment of an address, which a browser never sends to a server, and
 * leaves it as soon as the page has read it.
 */

export interface Invite {
  thread: string;
  token: string;
}

const ADDRESS = /^#\/i\/([A-Za-z0-9_-]{1,64})\/([^/]+)$/;
const KEY = "invite";

/** The invitation that was followed and not taken up yet. It survives a reload, and the way through a sign-in. */
export const invited = signal<Invite | null>(inviteIn(recall(KEY, inThisTab) ?? ""));

/** The invitation that the fragment of an address holds. */
export function inviteIn(hash: string): Invite | null {
  const [, thread, token] = ADDRESS.exec(hash) ?? [];
  return thread && token ? { thread, token: decoded(token) } : null;
}

export function fragmentOf({ thread, token }: Invite): string {
  return `#/i/${thread}/${encodeURIComponent(token)}`;
}

export function keepInvite(invite: Invite | null): void {
  invited.value = invite;
  remember(KEY, invite && fragmentOf(invite), inThisTab);
}

/** Take up the invitation to a thread, where there is one. Answers why it could not be used. */
export async function takeUp(thread: string): Promise<CommandError | null> {
  const invite = invited.peek();
  if (invite?.thread !== thread) return null;
  try {
    await call("thread.share", { thread, invite: invite.token });
  } catch (error) {
    // A cut keeps the invitation for the return.
    if (!(error instanceof CommandError)) throw error;
    keepInvite(null);
    return error;
  }
  keepInvite(null);
  return null;
}

function decoded(token: string): string {
  try {
    return decodeURIComponent(token);
  } catch {
    return token;
  }
}
