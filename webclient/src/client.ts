import { signal } from "@preact/signals";
import { Connection, type Status } from "./connection";
import type { Commands, CommandType, Event, Hello } from "./wire";

/** The page's one session with the server. */

export const status = signal<Status>({ kind: "connecting" });
export const hello = signal<Hello | null>(null);

const openedHandlers = new Set<() => void>();
const eventHandlers = new Set<(event: Event) => void>();

const connection = new Connection(socketUrl(), {
  status: (next) => {
    status.value = next;
  },
  opened: (greeting) => {
    hello.value = greeting;
    for (const handle of openedHandlers) handle();
  },
  event: (event) => {
    for (const handle of eventHandlers) handle(event);
  },
});

/** Send a command and wait for its reply; fails with `CommandError` or `CutError`. */
export function call<K extends CommandType>(type: K, fields: Commands[K]["send"]): Promise<Commands[K]["ok"]> {
  return connection.call(type, fields);
}

/** Do something after every hello: at the start and at each return. */
export function onOpened(handle: () => void): void {
  openedHandlers.add(handle);
}

export function onEvent(handle: (event: Event) => void): void {
  eventHandlers.add(handle);
}

/** Connect on a reader's own wish, also where the server had said not to come back. */
export function connect(): void {
  connection.connect();
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

function socketUrl(): string {
  const url = new URL("v1/ws", document.baseURI);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  return url.href;
}
