/** The shapes of the wire, version 1: what travels, and nothing of what is done with it. */

export type Role = "system" | "user" | "assistant" | "tool";
export type MessageState = "queued" | "streaming" | "done" | "cancelled" | "interrupted" | "failed";
export type Residency = "live" | "ram" | "disk" | "cold";
export type Mode = "reply" | "continue" | "regenerate";
export type Reason =
  | "stop" | "stop_string" | "length" | "context" | "tool_calls"
  | "cancelled" | "timeout" | "interrupted" | "error";

export interface Principal {
  id: string;
  name: string;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  reused_tokens: number;
}

/** Where reused tokens came from. */
export type Sources = Record<Exclude<Residency, "cold">, number>;

export interface Timings {
  queue_ms: number;
  prompt_ms: number;
  first_token_ms: number;
  generate_ms: number;
}

export interface Message {
  id: string;
  role: Role;
  content: string;
  state: MessageState;
  by?: Principal | null;
  run?: string | null;
  reason?: Reason | null;
  usage?: Usage | null;
  timings?: Timings | null;
  metadata?: Record<string, unknown>;
  created_at: string;
}

/** Only the fields that this client sets are named; others are kept as they came. */
export interface Sampling {
  temperature?: number | null;
  top_p?: number | null;
  top_k?: number | null;
  min_p?: number | null;
  max_tokens?: number | null;
  seed?: number | null;
  stop?: string[] | null;
  [other: string]: unknown;
}

export interface Thread {
  id: string;
  title: string | null;
  model: string;
  version: number;
  seq: number;
  epoch: string;
  messages: Message[];
  sampling: Sampling;
  residency: Residency;
  owner: string;
  forked_from?: { thread: string; at: string | null } | null;
  created_at: string;
  updated_at: string;
}

export interface Run {
  id: string;
  thread: string;
  message: string;
  state: "queued" | "running" | "finished";
  position: number;
}

export interface RunSnapshot {
  run: string;
  message: string;
  from: number;
  to: number;
  text: string;
}

export interface MessageDraft {
  role: Role;
  content: string;
  id?: string;
}

export type Op =
  | { op: "append"; message: MessageDraft }
  | { op: "insert"; before: string; message: MessageDraft }
  | { op: "edit"; message: string; content: string }
  | { op: "delete"; message: string }
  | { op: "truncate"; after: string | null };

export type AppliedOp =
  | { op: "append"; message: Message }
  | { op: "insert"; before: string; message: Message }
  | { op: "edit"; message: Message | string; content?: string }
  | { op: "delete"; message: string }
  | { op: "truncate"; after: string | null };

export interface ErrorBody {
  code: string;
  message: string;
  retryable: boolean;
  details?: Record<string, unknown>;
}

export interface Hello {
  server: string;
  version: string;
  session: string;
  principal: Principal;
  models: string[];
  limits: { message_bytes: number; context_tokens: number };
}

export interface Snapshot {
  thread: Thread;
  more: boolean;
  run?: RunSnapshot;
}

/** How far a client that comes back had come. */
export interface Since {
  epoch: string;
  seq: number;
  run?: string;
  to?: number;
}

/** What a client that comes back has missed. */
export interface Recovered {
  seq: number;
  events: Event[];
  run?: RunSnapshot;
}

export type Subscribed = (Recovered & { recovered: true }) | (Snapshot & { recovered: false });

/** What somebody may do with a thread of somebody else. */
export type ShareRole = "viewer" | "participant" | "owner" | "none";

export interface Share {
  thread: string;
  principal?: string;
  /** True asks for an invitation; a token of one takes it up or, with role `none`, takes it back. */
  invite?: true | string;
  role?: ShareRole;
  expires_s?: number;
}

/** One session that looks at a thread. */
export interface Here {
  session: string;
  id: string;
  name: string;
  typing: boolean;
}

export interface Generate {
  thread: string;
  ops?: Op[];
  run: string;
  mode?: Mode;
  if_busy?: "reject" | "enqueue" | "interrupt" | "rollback";
  key: string;
}

type Nothing = Record<string, never>;

/** Every command this client sends: its fields, and what a good reply holds. */
export interface Commands {
  hello: { send: { client: string; protocol: 1; token?: string }; ok: Hello };
  ping: { send: Nothing; ok: Nothing };
  watch: { send: Nothing; ok: Nothing };
  "thread.create": { send: { thread: string; title?: string; if_exists?: "error" | "get" }; ok: { thread: Thread } };
  "thread.get": { send: { thread: string; before?: string; limit?: number }; ok: Snapshot };
  "thread.list": { send: { limit: number; cursor?: string }; ok: { threads: Thread[]; cursor: string | null } };
  "thread.update": { send: { thread: string; title?: string | null; sampling?: Sampling }; ok: { version: number } };
  "thread.delete": { send: { thread: string }; ok: Nothing };
  "thread.fork": { send: { thread: string; at?: string; new_thread: string; title?: string }; ok: { thread: Thread } };
  "thread.share": { send: Share; ok: { invite?: string; expires_at?: string } };
  subscribe: { send: { thread: string; since?: Since }; ok: Subscribed };
  unsubscribe: { send: { thread: string }; ok: Nothing };
  mutate: { send: { thread: string; ops: Op[]; key: string }; ok: { version: number; messages: string[] } };
  generate: { send: Generate; ok: { run: string; message: string; messages: string[]; position: number } };
  draft: { send: { thread: string; text: string }; ok: Nothing };
  presence: { send: { thread: string; typing: boolean }; ok: Nothing };
  warm: { send: { thread: string }; ok: { residency: Residency } };
  evict: { send: { thread: string }; ok: { residency: Residency } };
  cancel: { send: { run: string }; ok: { run: string } };
  runs: { send: { thread: string }; ok: { runs: Run[] } };
}

export type CommandType = keyof Commands;

export interface Reply {
  type: "reply";
  id: number;
  ok?: unknown;
  error?: ErrorBody;
}

interface About {
  thread: string;
}

interface Durable extends About {
  seq: number;
  version: number;
}

export type Event =
  | (Durable & { type: "thread.updated"; updated_at?: string } & Partial<Pick<Thread, "title" | "model" | "sampling">>)
  | (Durable & { type: "thread.deleted" })
  | (Durable & { type: "thread.mutated"; ops: AppliedOp[]; updated_at?: string })
  | (Durable & { type: "run.queued"; run: string; position: number })
  | (Durable & { type: "run.started"; run: string; message: string; prompt_tokens: number; reused_tokens: number; sources?: Sources; dropped?: number })
  | (Durable & { type: "run.recovered"; run: string; message: string; to: number; text: string; content: string })
  | (Durable & { type: "run.finished"; run: string; reason: Reason; message: Message; error?: ErrorBody })
  | (About & { type: "run.progress"; run: string; cached: number; processed: number; total: number })
  | (About & { type: "run.delta"; run: string; from: number; to: number; text: string })
  | (About & { type: "thread.residency"; residency: Residency })
  | (About & { type: "presence"; here: Here[]; total: number })
  | Told;

/** What those who watch are told of threads. Subscribers get events of the same names, with a seq. */
export type Told =
  | (About & { type: "thread.created" | "thread.updated"; summary: Thread })
  | (About & { type: "thread.deleted" });
