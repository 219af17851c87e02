import { signal } from "@preact/signals";
import { Connection, type Status } from "./connection";
import { CommandError } from "./errors";
import { setToken, token } from "./token";
import type { Commands, CommandType, Event, Hello } from "./wire";

/** The page's one session with the server. */

export const status = signal<Status>({ kind: "connecting" });
export const hello = signal<Hello | null>(null);

/** The server wants to know who comes; `why` says what was wrong with what it was shown. */
export const askedIn = signal<{ why: string | null } | null>(null);

const UNAUTHORIZED = 4500;
const openedHandlers = new Set<() => void>();
const eventHandlers = new Set<(event: Event) => void>();
const forbiddenHandlers = new Set<(thread: string, role: string | null) => void>();

const connection = new Connection(
  socketUrl(),
  {
    status: (next) => {
      if (next.kind === "refused" && next.code === UNAUTHORIZED) turnedAway(next.reason);
      if (next.kind === "open") askedIn.value = null;
      status.value = next;
    },
    opened: (greeting) => {
      hello.value = greeting;
      for (const handle of openedHandlers) handle();
    },
    event: (event) => {
      for (const handle of eventHandlers) handle(event);
    },
  },
  { token: () => token.peek() },
);

/** Send a command and wait for its reply; fails with `CommandError` or `CutError`. */
export async function call<K extends CommandType>(type: K, fields: Commands[K]["send"]): Promise<Commands[K]["ok"]> {
  try {
    return await connection.call(type, fields);
  } catch (error) {
    const forbidden = error instanceof CommandError && error.code === "forbidden" && "thread" in fields;
    if (forbidden && fields.thread) for (const handle of forbiddenHandlers) handle(fields.thread, error.role);
    throw error;
  }
}

/** Do something after every hello: at the start and at each return. */
export function onOpened(handle: () => void): void {
  openedHandlers.add(handle);
}

export function onEvent(handle: (event: Event) => void): void {
  eventHandlers.add(handle);
}

/** Be told of threads on which this reader asked for more than his role allows. */
export function onForbidden(handle: (thread: string, role: string | null) => void): void {
  forbiddenHandlers.add(handle);
}

/** Connect on a reader's own wish, also where the server had said not to come back. */
export function connect(): void {
  connection.connect();
}

export function signIn(shown: string): void {
  setToken(shown);
  connection.connect();
}

export function leave(): void {
  setToken(null);
  hello.value = null;
  connection.leave("You signed out.");
}

export function start(): void {
  connection.connect();
  window.addEventListener("online", wake);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) wake();
  });
}

function wake(): void {
  if (status.value.kind !== "refused") connection.connect();
}

/** What was shown is no good any more, so that a reload shall not show it again. */
function turnedAway(reason: string): void {
  askedIn.value = { why: token.peek() === null ? null : reason };
  setToken(null);
}

function socketUrl(): string {
  const url = new URL("v1/ws", document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  return url.href;
}
