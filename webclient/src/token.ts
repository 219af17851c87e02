import { signal } from "@preact/signals";
import { inThisTab, recall, remember } from "./memory";

/** What this tab shows the server to be let in. It ends with the tab and is never part of an address. */
export const token = signal(recall("token", inThisTab));

export function setToken(next: string | null): void {
  token.value = next;
  remember("token", next, inThisTab);
}
