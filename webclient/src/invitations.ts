import { call } from "./client";
import { fragmentOf, type Invite } from "./invite";
import type { ShareRole } from "./wire";

/** Letting others have a part in a thread. */

export const ROLES: { role: Exclude<ShareRole, "none">; name: string; may: string }[] = [
  { role: "viewer", name: "Viewer", may: "may read along" },
  { role: "participant", name: "Participant", may: "may read and write" },
  { role: "owner", name: "Owner", may: "may do everything you may" },
];

const HOUR_S = 3_600;

export const TERMS: { name: string; seconds: number }[] = [
  { name: "1 hour", seconds: HOUR_S },
  { name: "1 day", seconds: 24 * HOUR_S },
  { name: "7 days", seconds: 7 * 24 * HOUR_S },
  { name: "30 days", seconds: 30 * 24 * HOUR_S },
];

/** An invitation that was made, with its whole address. */
export interface Invitation extends Invite {
  address: string;
  expires: string | null;
}

export async function inviteTo(thread: string, role: ShareRole, seconds: number): Promise<Invitation> {
  const { invite, expires_at } = await call("thread.share", { thread, invite: true, role, expires_s: seconds });
  if (!invite) throw new Error("The server made no invitation.");
  const made = { thread, token: invite };
  return { ...made, address: addressOf(made), expires: expires_at ?? null };
}

export async function takeBack({ thread, token }: Invite): Promise<void> {
  await call("thread.share", { thread, invite: token, role: "none" });
}

export async function shareWith(thread: string, principal: string, role: ShareRole): Promise<void> {
  await call("thread.share", { thread, principal, role });
}

function addressOf(invite: Invite): string {
  const address = new URL(document.baseURI);
  address.hash = fragmentOf(invite);
  address.search = "";
  return address.href;
}
