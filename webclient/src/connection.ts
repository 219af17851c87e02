import { backoff } from "./backoff";
import { CommandError, CutError } from "./errors";
import { Unanswered } from "./unanswered";
import type { Commands, CommandType, Event, Hello, Reply } from "./wire";

const SUBPROTOCOL = "livethread.v1.json";
const RATE = 4013;
const UNAUTHORIZED = 4500;
const FORBIDDEN = 4507;
const TOO_BIG = 1009;
const HANDSHAKE_MS = 10_000;
/** A dead network is noticed after at most the sum of these two. */
const PING_EVERY_MS = 20_000;
const PONG_WITHIN_MS = 8_000;
const STABLE_MS = 5_000;
/** A try younger than this is not given up for another one. */
const FRESH_MS = 1_500;

export type Status =
  | { kind: "connecting" }
  | { kind: "open" }
  /** `again` is when the next try comes (as of `Date.now`), null while one is being made. */
  | { kind: "lost"; again: number | null }
  | { kind: "refused"; code: number; reason: string };

/** Whom a connection tells. `opened` comes after every hello, so also after every return. */
export interface Listener {
  status(status: Status): void;
  opened(hello: Hello): void;
  event(event: Event): void;
}

export interface Ways {
  /** What hello shall bring, asked anew each time. */
  token?: () => string | null;
  open?: (url: string, protocol: string) => WebSocket;
}

/**
 * One session with the server, which comes back by itself when it is cut.
 *
 * `call` sends a command and promises its reply. A command that was cut off is sent again after the return only
 * where it may arrive twice without harm; every other one fails with `CutError`.
 */
export class Connection {
  private socket: WebSocket | null = null;
  private status: Status = { kind: "connecting" };
  private readonly unanswered = new Unanswered();
  private attempt = 0;
  private dialedAt = 0;
  private openedAt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private deadline: ReturnType<typeof setTimeout> | undefined;
  private pinging: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly url: string,
    private readonly listener: Listener,
    private readonly ways: Ways = {},
  ) {}

  call<K extends CommandType>(type: K, fields: Commands[K]["send"]): Promise<Commands[K]["ok"]> {
    if (this.status.kind !== "open") {
      return Promise.reject(new CutError("There is no connection to the server, so nothing was sent."));
    }
    return this.send(type, fields);
  }

  /** Connect now: at the start, when the machine is back online, when a reader looks at the page again. */
  connect(): void {
    if (this.status.kind === "open") return this.ping();
    if (this.socket && Date.now() - this.dialedAt < FRESH_MS) return;
    this.hangUp();
    this.unanswered.cut(false);
    this.set(this.status.kind === "lost" ? { kind: "lost", again: null } : { kind: "connecting" });
    this.dial();
  }

  /** End the session for good, as a server does that wants to know who comes. */
  leave(reason: string): void {
    this.ended(UNAUTHORIZED, reason);
  }

  private dial(): void {
    this.dialedAt = Date.now();
    const open = this.ways.open ?? ((url, protocol) => new WebSocket(url, protocol));
    const socket = open(this.url, SUBPROTOCOL);
    this.socket = socket;
    socket.onopen = () => void this.greet();
    socket.onmessage = (message) => this.receive(String(message.data));
    socket.onclose = (close) => this.ended(close.code, close.reason);
    this.expect(HANDSHAKE_MS);
  }

  private async greet(): Promise<void> {
    const token = this.ways.token?.();
    try {
      const hello = await this.send("hello", { client: "livethread-web", protocol: 1, ...(token && { token }) });
      this.welcome(hello);
    } catch (error) {
      if (error instanceof CommandError) this.ended(closeOf(error), error.message);
    }
  }

  private welcome(hello: Hello): void {
    this.relax();
    this.openedAt = Date.now();
    this.pinging = setInterval(() => this.ping(), PING_EVERY_MS);
    this.set({ kind: "open" });
    for (const frame of this.unanswered.frames()) this.socket?.send(frame);
    this.listener.opened(hello);
  }

  private send<K extends CommandType>(type: K, fields: Commands[K]["send"]): Promise<Commands[K]["ok"]> {
    const { frame, answer } = this.unanswered.add(type, fields);
    this.socket?.send(frame);
    return answer;
  }

  private receive(frame: string): void {
    const message = JSON.parse(frame) as Reply | Event;
    // Whatever comes is a sign of life.
    if (this.status.kind === "open") this.relax();
    if (message.type === "reply") this.unanswered.settle(message);
    else this.listener.event(message);
  }

  /** A browser does not show a dead network for minutes; an unanswered ping does. */
  private ping(): void {
    if (this.deadline !== undefined) return;
    this.send("ping", {}).catch(() => {});
    this.expect(PONG_WITHIN_MS);
  }

  private expect(withinMs: number): void {
    this.relax();
    this.deadline = setTimeout(() => this.ended(1006, ""), withinMs);
  }

  private relax(): void {
    clearTimeout(this.deadline);
    this.deadline = undefined;
  }

  private ended(code: number, reason: string): void {
    this.hangUp();
    const final = code >= 4500 && code <= 4999;
    // A frame that was too big would be too big each time.
    this.unanswered.cut(final || code === TOO_BIG);
    if (final) this.set({ kind: "refused", code, reason });
    else this.comeBack();
  }

  private comeBack(): void {
    if (this.openedAt && Date.now() - this.openedAt > STABLE_MS) this.attempt = 0;
    this.openedAt = 0;
    const wait = backoff(this.attempt++);
    this.set({ kind: "lost", again: Date.now() + wait });
    this.retry = setTimeout(() => this.connect(), wait);
  }

  private hangUp(): void {
    const socket = this.socket;
    this.socket = null;
    this.relax();
    clearTimeout(this.retry);
    clearInterval(this.pinging);
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private set(status: Status): void {
    this.status = status;
    this.listener.status(status);
  }
}

/** The close that a refused hello amounts to. */
function closeOf(error: CommandError): number {
  if (error.code === "unauthorized") return UNAUTHORIZED;
  return error.retryable ? RATE : FORBIDDEN;
}
