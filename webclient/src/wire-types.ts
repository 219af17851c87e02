/* Made by `make types` from the server's own structs. Do not edit. */

/**
 * A token that might have been drawn. ``text`` is what of it is whole UTF-8, ``bytes`` what it is made of.
 */
export interface Alternative {
  token: number;
  text: string;
  bytes: number[];
  logprob: number;
}
/**
 * Put a message at the end.
 */
export interface Append {
  op: "append";
  message: Draft;
}
/**
 * A message as a client writes it (``M`` in the contract).
 */
export interface Draft {
  role: "assistant" | "system" | "tool" | "user";
  content: string;
  id?: string | null;
  metadata?: {
    [k: string]: unknown;
  } | null;
}
/**
 * A whole message was put at the end.
 */
export interface Appended {
  op: "append";
  message: Message;
}
/**
 * One turn of a thread. Ids are unique within the thread.
 */
export interface Message {
  id: string;
  role: "assistant" | "system" | "tool" | "user";
  content: string;
  state: "cancelled" | "done" | "failed" | "interrupted" | "queued" | "streaming";
  by: Principal | null;
  run: string | null;
  reason:
    | ("cancelled" | "context" | "error" | "interrupted" | "length" | "stop" | "stop_string" | "timeout" | "tool_calls")
    | null;
  usage: Usage | null;
  timings: Timings | null;
  metadata: {
    [k: string]: unknown;
  };
  created_at: string;
}
/**
 * Who acts: the ``by`` of messages and events.
 */
export interface Principal {
  id: string;
  name: string;
}
/**
 * Tokens of one run. End-of-generation tokens count in ``completion_tokens``.
 */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  reused_tokens: number;
}
/**
 * Milliseconds of one run.
 *
 * ``queue_ms`` from acceptance to start, ``prompt_ms`` from start to the first sample,
 * ``first_token_ms`` from acceptance to the first sample, ``generate_ms`` from there to the end.
 */
export interface Timings {
  queue_ms: number;
  prompt_ms: number;
  first_token_ms: number;
  generate_ms: number;
}
/**
 * End a run. It never waits for anything, and may be sent again.
 */
export interface Cancel {
  type: "cancel";
  id: number;
  run: string;
}
/**
 * How the run was when it was cancelled.
 */
export interface CancelOk {
  run: string;
  state: "finished" | "queued" | "running";
}
/**
 * Take a message out.
 */
export interface Delete {
  op: "delete";
  message: string;
}
/**
 * A message was taken out.
 */
export interface Deleted {
  op: "delete";
  message: string;
}
/**
 * Replace the content of a message; its token ids are dropped.
 */
export interface Edit {
  op: "edit";
  message: string;
  content: string;
}
/**
 * The message with this id now is this whole message.
 */
export interface Edited {
  op: "edit";
  message: Message;
}
/**
 * Nothing to say.
 */
export interface Empty {}
/**
 * Why a command was refused.
 */
export interface ErrorBody {
  code: string;
  message: string;
  retryable: boolean;
  details: {
    [k: string]: unknown;
  };
}
/**
 * Put the thread's context on disk; answered once it can be restored from there.
 */
export interface Evict {
  type: "evict";
  id: number;
  thread: string;
}
/**
 * Where a thread was forked from.
 */
export interface Fork {
  thread: string;
  at: string | null;
}
/**
 * Ask the model for a reply, after ``ops`` where there are any. Its text comes as events.
 */
export interface Generate {
  type: "generate";
  id: number;
  thread: string;
  ops?: (Append | Insert | Edit | Delete | Truncate)[];
  run?: string | null;
  mode?: "continue" | "regenerate" | "reply";
  sampling?: Sampling | null;
  if_busy?: "enqueue" | "interrupt" | "reject" | "rollback";
  on_disconnect?: "cancel" | "continue";
  timeout_ms?: number | null;
  expect_version?: number | null;
  key?: string | null;
}
/**
 * Put a message before another.
 */
export interface Insert {
  op: "insert";
  before: string;
  message: Draft;
}
/**
 * Take out everything after a message; ``after: null`` takes out everything.
 */
export interface Truncate {
  op: "truncate";
  after: string | null;
}
/**
 * How to draw tokens. A field that is None was not given: the thread's or the model's value holds.
 * Unknown fields are ignored here, for clients; ``codec`` refuses them in commands.
 *
 * ``temperature`` 0 is greedy. ``logit_bias`` maps a token id to what is added to its logit.
 * ``seed`` ends at 2³²−2 because llama.h's LLAMA_DEFAULT_SEED (2³²−1) means "random".
 * ``logprobs`` asks how likely each token was, and for so many alternatives; 0 for none of them.
 */
export interface Sampling {
  max_tokens?: number | null;
  stop?: string[] | null;
  temperature?: number | null;
  top_k?: number | null;
  top_p?: number | null;
  min_p?: number | null;
  typical_p?: number | null;
  xtc_probability?: number | null;
  xtc_threshold?: number | null;
  dry_multiplier?: number | null;
  dry_base?: number | null;
  dry_allowed_length?: number | null;
  dry_penalty_last_n?: number | null;
  repeat_penalty?: number | null;
  repeat_last_n?: number | null;
  presence_penalty?: number | null;
  frequency_penalty?: number | null;
  mirostat?: number | null;
  mirostat_tau?: number | null;
  mirostat_eta?: number | null;
  logit_bias?: {
    [k: string]: number;
  } | null;
  seed?: number | null;
  grammar?: string | null;
  json_schema?: {
    [k: string]: unknown;
  } | null;
  logprobs?: number | null;
}
/**
 * ``message`` is the one the run writes, ``messages`` are those the ops made, in order.
 */
export interface GenerateOk {
  run: string;
  message: string;
  messages: string[];
  version: number;
  position: number;
}
/**
 * The first command; may be left out where no authentication is configured.
 */
export interface Hello {
  type: "hello";
  id: number;
  client?: string;
  protocol?: 1;
  token?: string | null;
}
/**
 * Who the server is, who the session is, what is served and what is bounded.
 */
export interface HelloOk {
  server: string;
  version: string;
  session: string;
  principal: Principal;
  models: string[];
  limits: Limits;
}
/**
 * What the server bounds, so that a client can stay inside.
 */
export interface Limits {
  frame_bytes: number;
  message_bytes: number;
  context_tokens: number;
  queued_runs: number;
  subscriptions: number;
}
/**
 * One session that looks at a thread.
 */
export interface Here {
  session: string;
  id: string;
  name: string;
  typing: boolean;
}
/**
 * A whole message was put before another.
 */
export interface Inserted {
  op: "insert";
  before: string;
  message: Message;
}
/**
 * Change the thread by ``ops``: all of them in order, or none.
 */
export interface Mutate {
  type: "mutate";
  id: number;
  thread: string;
  ops: (Append | Insert | Edit | Delete | Truncate)[];
  expect_version?: number | null;
  key?: string | null;
  if_busy?: "interrupt" | "reject" | "rollback";
}
/**
 * ``messages`` are the ids that the ops made, in order.
 */
export interface MutateOk {
  version: number;
  messages: string[];
  reuse: Reuse | null;
}
/**
 * How much of a live context a mutation keeps: tokens before the change, and tokens behind it.
 */
export interface Reuse {
  kept_tokens: number;
  stale_tokens: number;
}
/**
 * Ask for a sign of life. It never waits for anything.
 */
export interface Ping {
  type: "ping";
  id: number;
}
/**
 * Say that somebody looks at the thread, and whether he is typing. It holds while the session subscribes to
 * the thread; typing must be said again within a few seconds.
 */
export interface Presence {
  type: "presence";
  id: number;
  thread: string;
  typing?: boolean;
}
/**
 * Everybody who looks at the thread now, ``here``; of a crowd the first hundred, ``total`` counts all.
 */
export interface PresenceChanged {
  type: "presence";
  thread: string;
  here: Here[];
  total: number;
}
/**
 * What a person is typing as the next message: the model reads it ahead. Never stored, never told.
 */
export interface ReadDraft {
  type: "draft";
  id: number;
  thread: string;
  text: string;
}
/**
 * Where the thread's context is now.
 */
export interface ResidencyOk {
  residency: "cold" | "disk" | "live" | "ram";
}
/**
 * One generation that writes one assistant message. ``position`` counts the runs ahead of it.
 */
export interface Run {
  id: string;
  thread: string;
  message: string;
  mode: "continue" | "regenerate" | "reply";
  state: "finished" | "queued" | "running";
  reason:
    | ("cancelled" | "context" | "error" | "interrupted" | "length" | "stop" | "stop_string" | "timeout" | "tool_calls")
    | null;
  position: number;
  by: Principal;
}
/**
 * Text of the run's tokens from ``start`` to ``to`` (exclusive). ``logprobs`` has one entry for each of them, where
 * the run's sampling asked for it.
 */
export interface RunDelta {
  type: "run.delta";
  thread: string;
  run: string;
  from: number;
  to: number;
  text: string;
  logprobs?: TokenLogprob[];
}
/**
 * A token that was drawn and the natural logarithm of its probability by the model's own logits, before any
 * sampling; ``top`` are the most likely ones at its place, the likeliest first.
 */
export interface TokenLogprob {
  token: number;
  text: string;
  bytes: number[];
  logprob: number;
  top: Alternative[];
}
/**
 * The run is over, exactly once: ``message`` is whole.
 */
export interface RunFinished {
  type: "run.finished";
  thread: string;
  seq: number;
  version: number;
  run: string;
  reason:
    "cancelled" | "context" | "error" | "interrupted" | "length" | "stop" | "stop_string" | "timeout" | "tool_calls";
  message: Message;
  usage: Usage;
  timings: Timings;
  error?: ErrorBody;
}
/**
 * The prompt is being ingested: ``cached + processed`` of ``total`` tokens are in KV.
 */
export interface RunProgress {
  type: "run.progress";
  thread: string;
  run: string;
  cached: number;
  processed: number;
  total: number;
}
/**
 * The run must wait; ``position`` counts the runs ahead of it.
 */
export interface RunQueued {
  type: "run.queued";
  thread: string;
  seq: number;
  version: number;
  run: string;
  position: number;
}
/**
 * The run goes on after the server died: ``text`` covers its tokens up to ``to``, and clients replace what they
 * have of it. ``content`` is the whole message with it.
 */
export interface RunRecovered {
  type: "run.recovered";
  thread: string;
  seq: number;
  version: number;
  run: string;
  message: string;
  to: number;
  text: string;
  content: string;
}
/**
 * A run that streams now: ``text`` covers its tokens from ``start`` to ``to`` (exclusive).
 */
export interface RunSnapshot {
  run: string;
  message: string;
  from: number;
  to: number;
  text: string;
}
/**
 * ``sources`` says where the reused tokens came from, ``dropped`` how many of the oldest messages were
 * left out of the prompt.
 */
export interface RunStarted {
  type: "run.started";
  thread: string;
  seq: number;
  version: number;
  run: string;
  message: string;
  model: string;
  instance: string;
  prompt_tokens: number;
  reused_tokens: number;
  sources: Sources;
  dropped: number;
  sampling: Sampling;
  by: Principal;
}
/**
 * Where the reused tokens of one run's prompt came from, in tokens: live contexts, memory, or disk.
 */
export interface Sources {
  live: number;
  ram: number;
  disk: number;
}
/**
 * The runs of a thread or of all: every unfinished one, then the newest finished ones.
 */
export interface Runs {
  type: "runs";
  id: number;
  thread?: string | null;
}
/**
 * In the order of acceptance.
 */
export interface RunsOk {
  runs: Run[];
}
/**
 * ``invite`` is the token that was asked for, ``expires_at`` when it ends.
 */
export interface ShareOk {
  invite?: string | null;
  expires_at?: string | null;
}
/**
 * How far a client that comes back had come: the last durable ``seq`` of an ``epoch`` that it has, and the
 * token ``to`` up to which it has the text of the ``run`` that streamed.
 */
export interface Since {
  epoch: string;
  seq: number;
  run?: string | null;
  to?: number;
}
/**
 * With ``since`` only what is new is answered, where the server still knows it.
 */
export interface Subscribe {
  type: "subscribe";
  id: number;
  thread: string;
  since?: Since | null;
}
/**
 * ``thread`` and ``more`` hold the snapshot; after them come all events with a higher seq.
 */
export interface SubscribeOk {
  epoch: string;
  seq: number;
  version: number;
  recovered: boolean;
  thread?: Thread;
  more?: boolean;
  events?: unknown[];
  run?: RunSnapshot;
}
/**
 * A conversation that lives on the server. ``messages`` is empty in lists and summaries.
 */
export interface Thread {
  id: string;
  title: string | null;
  model: string;
  version: number;
  seq: number;
  epoch: string;
  messages: Message[];
  sampling: Sampling;
  metadata: {
    [k: string]: unknown;
  };
  overflow: "drop_oldest" | "error";
  pinned: boolean;
  owner: string;
  residency: "cold" | "disk" | "live" | "ram";
  forked_from: Fork | null;
  created_at: string;
  updated_at: string;
}
/**
 * One stateless piece of work. ``position`` counts those ahead of it while it is queued. ``result`` is its kind's,
 * there once it is ``done``, and gone with the task at ``expires_at``. ``reason`` says why it is not done.
 */
export interface Task {
  id: string;
  kind: string;
  state: "cancelled" | "done" | "failed" | "queued" | "running";
  position: number;
  progress: TaskProgress | null;
  usage: Usage | null;
  reason: ("cancelled" | "error" | "timeout") | null;
  result: unknown;
  error: ErrorBody | null;
  model: string;
  instance: string;
  by: Principal;
  timeout_ms: number | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  expires_at: string | null;
}
/**
 * ``done`` of ``total`` things of a ``stage``: tokens of the ``prompt`` or the ``generation``, or ``items``.
 */
export interface TaskProgress {
  stage: "generation" | "items" | "prompt";
  done: number;
  total: number;
}
/**
 * End a task. It never waits for anything, and may be sent again.
 */
export interface TaskCancel {
  type: "task.cancel";
  id: number;
  task: string;
}
/**
 * How the task was when it was cancelled.
 */
export interface TaskCancelOk {
  task: string;
  state: "cancelled" | "done" | "failed" | "queued" | "running";
}
/**
 * Begin a stateless task of a ``kind``. It is answered when the task was taken; with ``stream`` its creator is told
 * of it as `TaskUpdated` and `TaskDelta`.
 */
export interface TaskCreate {
  type: "task.create";
  id: number;
  kind: string;
  input: {
    [k: string]: unknown;
  };
  task?: string | null;
  timeout_ms?: number | null;
  key?: string | null;
  stream?: boolean;
}
/**
 * Text of a choice's tokens from ``start`` to ``to`` (exclusive).
 */
export interface TaskDelta {
  type: "task.delta";
  task: string;
  choice: number;
  from: number;
  to: number;
  text: string;
  logprobs?: TokenLogprob[];
}
/**
 * How a task is; with ``wait_ms`` as soon as it is over, or then.
 */
export interface TaskGet {
  type: "task.get";
  id: number;
  task: string;
  wait_ms?: number;
}
/**
 * The caller's tasks, the newest first, without their results.
 */
export interface TaskList {
  type: "task.list";
  id: number;
  kind?: string | null;
  state?: ("cancelled" | "done" | "failed" | "queued" | "running") | null;
  limit?: number;
  cursor?: string | null;
}
/**
 * The newest first, without their results.
 */
export interface TaskListOk {
  tasks: Task[];
  cursor: string | null;
}
/**
 * The task as it is now.
 */
export interface TaskOk {
  task: Task;
}
/**
 * The task is like this now; its ``result`` is there once it is done. Progress is told a few times a second.
 */
export interface TaskUpdated {
  type: "task.updated";
  task: Task;
}
/**
 * To those who watch: the thread is like this now. It has no ``seq``, unlike what subscribers are told.
 */
export interface ThreadChanged {
  type: "thread.updated";
  thread: string;
  summary: Thread;
}
/**
 * Make a thread, with its first messages where there are any.
 */
export interface ThreadCreate {
  type: "thread.create";
  id: number;
  thread?: string | null;
  model?: string | null;
  title?: string | null;
  messages?: Draft[];
  sampling?: Sampling | null;
  metadata?: {
    [k: string]: unknown;
  } | null;
  overflow?: ("drop_oldest" | "error") | null;
  pinned?: boolean | null;
  if_exists?: "error" | "get";
}
/**
 * To those who watch: there is one more thread that they may read. ``summary`` has no messages.
 */
export interface ThreadCreated {
  type: "thread.created";
  thread: string;
  summary: Thread;
}
/**
 * End the thread's runs, then the thread.
 */
export interface ThreadDelete {
  type: "thread.delete";
  id: number;
  thread: string;
}
/**
 * The thread is gone; nothing comes behind this.
 */
export interface ThreadDeleted {
  type: "thread.deleted";
  thread: string;
  seq: number;
  version: number;
  by: Principal;
}
/**
 * A new thread with the messages up to ``at``, which is the last finished one unless given.
 */
export interface ThreadFork {
  type: "thread.fork";
  id: number;
  thread: string;
  at?: string | null;
  new_thread?: string | null;
  title?: string | null;
}
/**
 * A thread with its newest messages, or with up to ``limit`` of those ``before`` one.
 */
export interface ThreadGet {
  type: "thread.get";
  id: number;
  thread: string;
  before?: string | null;
  limit?: number | null;
}
/**
 * ``more`` says that there are older messages, ``run`` what streams now.
 */
export interface ThreadGetOk {
  thread: Thread;
  more: boolean;
  run?: RunSnapshot;
}
/**
 * To those who watch: the thread is gone, or may be read no more.
 */
export interface ThreadGone {
  type: "thread.deleted";
  thread: string;
}
/**
 * Summaries of all readable threads, the newest change first.
 */
export interface ThreadList {
  type: "thread.list";
  id: number;
  limit?: number;
  cursor?: string | null;
}
/**
 * ``cursor`` continues; null at the end.
 */
export interface ThreadListOk {
  threads: Thread[];
  cursor: string | null;
}
/**
 * Messages changed: ``ops`` as they were applied, carrying whole messages.
 */
export interface ThreadMutated {
  type: "thread.mutated";
  thread: string;
  seq: number;
  version: number;
  ops: (Appended | Inserted | Edited | Deleted | Truncated)[];
  by: Principal;
  updated_at: string;
}
/**
 * Everything after a message was taken out.
 */
export interface Truncated {
  op: "truncate";
  after: string | null;
}
/**
 * The thread as it is now.
 */
export interface ThreadOk {
  thread: Thread;
}
/**
 * The thread's context is somewhere else now.
 */
export interface ThreadResidency {
  type: "thread.residency";
  thread: string;
  residency: "cold" | "disk" | "live" | "ram";
}
/**
 * Give somebody a role on the thread, or take it away: ``role`` none.
 *
 * Either ``principal`` names who, or ``invite`` is true: then the reply holds a token that gives the role to
 * whoever brings it within ``expires_s``. ``invite`` with such a token and without a ``role`` takes it up; with
 * role none it is revoked.
 */
export interface ThreadShare {
  type: "thread.share";
  id: number;
  thread: string;
  principal?: string | null;
  invite?: boolean | string | null;
  role?: ("none" | "owner" | "participant" | "viewer") | null;
  expires_s?: number | null;
}
/**
 * Only the fields given change; null clears a field.
 */
export interface ThreadUpdate {
  type: "thread.update";
  id: number;
  thread: string;
  title?: string | null;
  model?: string | null;
  sampling?: Sampling | null;
  metadata?: {
    [k: string]: unknown;
  } | null;
  overflow?: ("drop_oldest" | "error") | null;
  pinned?: boolean | null;
  expect_version?: number | null;
}
/**
 * Settings changed; only the changed fields are there, null means cleared.
 */
export interface ThreadUpdated {
  type: "thread.updated";
  thread: string;
  seq: number;
  version: number;
  title?: string | null;
  model?: string;
  sampling?: Sampling;
  metadata?: {
    [k: string]: unknown;
  };
  overflow?: "drop_oldest" | "error";
  pinned?: boolean;
  updated_at: string;
  by: Principal;
}
/**
 * Be told of the thread no more.
 */
export interface Unsubscribe {
  type: "unsubscribe";
  id: number;
  thread: string;
}
/**
 * The thread's version behind the change.
 */
export interface VersionOk {
  version: number;
}
/**
 * Make the thread's context live.
 */
export interface Warm {
  type: "warm";
  id: number;
  thread: string;
}
/**
 * From now on be told of every readable thread that is made, changed or gone, as `ThreadCreated`,
 * `ThreadChanged` and `ThreadGone`. List the threads behind it, and nothing is missed.
 */
export interface Watch {
  type: "watch";
  id: number;
}
