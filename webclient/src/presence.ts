import { signal } from "@preact/signals";
import { call, hello, onEvent, onOpened } from "./client";
import type { Here } from "./wire";

/** Who else looks at the open thread. */

/** Somebody who is there, in one window or several. */
export interface Person {
  id: string;
  name: string;
  typing: boolean;
  windows: number;
  /** The reader of this page, in another window. */
  self: boolean;
}

export interface Company {
  people: Person[];
  /** Sessions that are there and not among the people. */
  unseen: number;
}

const NOBODY: Company = { people: [], unseen: 0 };
const now = signal<{ thread: string; here: Here[]; total: number } | null>(null);

export function watchPresence(): void {
  onEvent((event) => {
    if (event.type === "presence" && event.thread === now.peek()?.thread) now.value = event;
  });
  // A cut: those who are there will be told again.
  onOpened(() => (now.value = null));
}

/** Say that this page looks at a thread, and hear who else does. */
export function attend(thread: string): void {
  now.value = { thread, here: [], total: 0 };
  call("presence", { thread, typing: false }).catch(() => {});
}

export function leaveCompany(): void {
  now.value = null;
}

/** Everybody but this page. */
export function company(): Company {
  const server = hello.value;
  return now.value && server ? companyIn(now.value.here, now.value.total, server.session, server.principal.id) : NOBODY;
}

export function companyIn(here: Here[], total: number, session: string, own: string): Company {
  const people = new Map<string, Person>();
  for (const one of here) {
    if (one.session === session) continue;
    const known = people.get(one.id);
    people.set(one.id, {
      id: one.id,
      name: one.name || one.id,
      typing: one.typing || (known?.typing ?? false),
      windows: (known?.windows ?? 0) + 1,
      self: one.id === own,
    });
  }
  return { people: [...people.values()], unseen: Math.max(0, total - here.length) };
}

/** The letters that stand for a name where it has no room. */
export function initialsOf(name: string): string {
  const words = name.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const [first = "?", last] = [words[0], words.length > 1 ? words.at(-1) : undefined];
  const letters = last ? [...first][0]! + [...last][0]! : [...first].slice(0, 2).join("");
  return letters.toUpperCase();
}

/** Who is typing, as a sentence; null where nobody is. */
export function typingIn({ people }: Company): string | null {
  const names = people.filter(({ typing }) => typing).map(({ self, name }) => (self ? "Another window" : name));
  if (!names.length) return null;
  if (names.length > 2) return `${names.length} others are typing`;
  return `${names.join(" and ")} ${names.length === 1 ? "is" : "are"} typing`;
}
