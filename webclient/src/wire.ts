/** The wire, version 1, as this client uses it: what travels, and nothing of what is done with it.

The shapes are made from the server's own structs, in `wire-types`; here is which command has which of them, and what
this client may count on beyond them. */

import type * as wire from "./wire-types";

export type {
  Draft as MessageDraft, ErrorBody, Here, Message, Principal, Run, RunSnapshot, Since, Sources, Thread, Timings, Usage,
} from "./wire-types";

/** Only the fields that this client sets are looked at; others are kept as they came. */
export type Sampling = wire.Sampling;

export type Role = wire.Message["role"];
export type MessageState = wire.Message["state"];
export type Reason = NonNullable<wire.Message["reason"]>;
export type Residency = wire.Thread["residency"];
export type Mode = NonNullable<wire.Generate["mode"]>;
/** What somebody may do with a thread of somebody else. */
export type ShareRole = NonNullable<wire.ThreadShare["role"]>;

export type Op = wire.Append | wire.Insert | wire.Edit | wire.Delete | wire.Truncate;
export type AppliedOp = wire.ThreadMutated["ops"][number];

export type Hello = wire.HelloOk;
export type Snapshot = wire.ThreadGetOk;
export type Share = Sent<wire.ThreadShare>;
export type Generate = Sent<wire.Generate> & { run: string; key: string };

/** What a client that comes back has missed. */
export interface Recovered {
  seq: number;
  events: Event[];
  run?: wire.RunSnapshot;
}

export type Subscribed = (Recovered & { recovered: true }) | (Snapshot & { recovered: false });

/** The fields of a command but those that every one has. */
type Sent<Command> = Omit<Command, "type" | "id">;
type Asking<Command, Ok> = { send: Sent<Command>; ok: Ok };

/** Every command this client sends: its fields, and what a good reply holds. */
export interface Commands {
  hello: Asking<wire.Hello, wire.HelloOk>;
  ping: Asking<wire.Ping, wire.Empty>;
  watch: Asking<wire.Watch, wire.Empty>;
  "thread.create": Asking<wire.ThreadCreate & { thread: string }, wire.ThreadOk>;
  "thread.get": Asking<wire.ThreadGet, wire.ThreadGetOk>;
  "thread.list": Asking<wire.ThreadList, wire.ThreadListOk>;
  "thread.update": Asking<wire.ThreadUpdate, wire.VersionOk>;
  "thread.delete": Asking<wire.ThreadDelete, wire.Empty>;
  "thread.fork": Asking<wire.ThreadFork & { new_thread: string }, wire.ThreadOk>;
  "thread.share": Asking<wire.ThreadShare, wire.ShareOk>;
  subscribe: { send: Sent<wire.Subscribe>; ok: Subscribed };
  unsubscribe: Asking<wire.Unsubscribe, wire.Empty>;
  mutate: Asking<wire.Mutate & { key: string }, wire.MutateOk>;
  generate: { send: Generate; ok: wire.GenerateOk };
  draft: Asking<wire.ReadDraft, wire.Empty>;
  presence: Asking<wire.Presence, wire.Empty>;
  warm: Asking<wire.Warm, wire.ResidencyOk>;
  evict: Asking<wire.Evict, wire.ResidencyOk>;
  cancel: Asking<wire.Cancel, wire.CancelOk>;
  runs: Asking<wire.Runs, wire.RunsOk>;
}

export type CommandType = keyof Commands;

export interface Reply {
  type: "reply";
  id: number;
  ok?: unknown;
  error?: wire.ErrorBody;
}

export type Event =
  | wire.ThreadUpdated | wire.ThreadDeleted | wire.ThreadMutated
  | wire.RunQueued | wire.RunStarted | wire.RunRecovered | wire.RunFinished | wire.RunProgress | wire.RunDelta
  | wire.ThreadResidency | wire.PresenceChanged
  | Told;

/** What those who watch are told of threads. Subscribers get events of the same names, with a seq. */
export type Told = wire.ThreadCreated | wire.ThreadChanged | wire.ThreadGone;
