import { backoff } from "./backoff";
import { CommandError, CutError } from "./errors";
import type { Commands, CommandType, Event, Hello, Reply } from "./wire";

const SUBPROTOCOL = "livethread.v1.json";
const HANDSHAKE_MS = 10_000;
const PING_EVERY_MS = 25_000;
const PONG_WITHIN_MS = 8_000;
const STABLE_MS = 5_000;

export type Status =
  | { kind: "connecting" }
  | { kind: "open" }
  | { kind: "lost" }
  | { kind: "refused"; code: number; reason: string };

/** Whom a connection tells. `opened` comes after every hello, so also after every return. */
export interface Listener {
  status(status: Status): void;
  opened(hello: Hello): void;
  event(event: Event): void;
}

interface Waiting {
  frame: string;
  keyed: boolean;
  resolve(ok: unknown): void;
  reject(error: Error): void;
}

/**
 * One session with the server, which comes back by itself when it is cut.
 *
 * `call` sends a command and promises its reply. A command that was cut off is sent again after the
 * return only where it carries a key; every other one fails with `CutError`.
 */
export class Connection {
  private socket: WebSocket | null = null;
  private status: Status = { kind: "connecting" };
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;
  private attempt = 0;
  private openedAt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private deadline: ReturnType<typeof setTimeout> | undefined;
  private pinging: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly url: string,
    private readonly listener: Listener,
    private readonly open: (url: string, protocol: string) => WebSocket = (url, protocol) => new WebSocket(url, protocol),
  ) {}

  call<K extends CommandType>(type: K, fields: Commands[K]["send"]): Promise<Commands[K]["ok"]> {
    if (this.status.kind !== "open") {
      return Promise.reject(new CutError("There is no connection to the server, so nothing was sent."));
    }
    return this.send(type, fields);
  }

  /** Connect now: at the start, when the machine is back online, when a reader looks at the page again. */
  connect(): void {
    if (this.socket) {
      if (this.status.kind === "open") this.ping();
      return;
    }
    clearTimeout(this.retry);
    this.set({ kind: this.status.kind === "lost" ? "lost" : "connecting" });
    this.dial();
  }

  private dial(): void {
    const socket = this.open(this.url, SUBPROTOCOL);
    this.socket = socket;
    socket.onopen = () => void this.greet();
    socket.onmessage = (message) => this.receive(String(message.data));
    socket.onclose = (close) => this.ended(close.code, close.reason);
    this.expect(HANDSHAKE_MS);
  }

  private async greet(): Promise<void> {
    try {
      const hello = await this.send("hello", { client: "livethread-web", protocol: 1 });
      this.welcome(hello);
    } catch (error) {
      if (error instanceof CommandError) this.ended(4500, error.message);
    }
  }

  private welcome(hello: Hello): void {
    clearTimeout(this.deadline);
    this.openedAt = Date.now();
    this.pinging = setInterval(() => this.ping(), PING_EVERY_MS);
    this.set({ kind: "open" });
    for (const { frame } of this.waiting.values()) this.socket?.send(frame);
    this.listener.opened(hello);
  }

  private send<K extends CommandType>(type: K, fields: Commands[K]["send"]): Promise<Commands[K]["ok"]> {
    const id = ++this.lastId;
    const frame = JSON.stringify({ type, id, ...fields });
    return new Promise((resolve, reject) => {
      const take = resolve as (ok: unknown) => void;
      this.waiting.set(id, { frame, keyed: "key" in fields, resolve: take, reject });
      this.socket?.send(frame);
    });
  }

  private receive(frame: string): void {
    const message = JSON.parse(frame) as Reply | Event;
    if (message.type === "reply") this.answer(message);
    else this.listener.event(message);
  }

  private answer({ id, ok, error }: Reply): void {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    this.waiting.delete(id);
    if (error) waiting.reject(new CommandError(error));
    else waiting.resolve(ok ?? {});
  }

  /** A browser does not show a dead network for minutes; an unanswered ping does. */
  private ping(): void {
    this.send("ping", {}).then(() => clearTimeout(this.deadline), () => {});
    this.expect(PONG_WITHIN_MS);
  }

  private expect(withinMs: number): void {
    clearTimeout(this.deadline);
    this.deadline = setTimeout(() => this.ended(1006, ""), withinMs);
  }

  private ended(code: number, reason: string): void {
    this.hangUp();
    const final = code >= 4500 && code <= 4999;
    for (const [id, waiting] of this.waiting) {
      if (waiting.keyed && !final) continue;
      this.waiting.delete(id);
      waiting.reject(new CutError());
    }
    if (final) return this.set({ kind: "refused", code, reason });
    this.comeBack();
  }

  private comeBack(): void {
    if (this.openedAt && Date.now() - this.openedAt > STABLE_MS) this.attempt = 0;
    this.openedAt = 0;
    this.set({ kind: "lost" });
    this.retry = setTimeout(() => this.connect(), backoff(this.attempt++));
  }

  private hangUp(): void {
    const socket = this.socket;
    this.socket = null;
    clearTimeout(this.deadline);
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
