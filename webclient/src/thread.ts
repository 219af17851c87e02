import { applyOp } from "./ops";
import type { ErrorBody, Event, Message, Recovered, Run, RunSnapshot, Since, Snapshot, Sources, Thread } from "./wire";

/** What is known of an unfinished run beyond its message. */
export interface RunView {
  /** How many runs are ahead of it; null where that is not known. */
  position: number | null;
  /** Tokens whose text is in `text`; the next delta must begin here. */
  to: number;
  text: string;
  progress: { done: number; total: number } | null;
  prompt: { tokens: number; reused: number } | null;
}

/** A thread as this client knows it. It changes by nothing but snapshots and events. */
export interface ThreadView {
  thread: Thread;
  /** Whether the server has messages older than the first one here. */
  more: boolean;
  runs: Record<string, RunView>;
  /** Why runs failed, by the id of their message. */
  errors: Record<string, ErrorBody>;
  /** Where the reused tokens of the prompts of runs seen here came from, by the id of their message. */
  sources: Record<string, Sources>;
  /** How many of the oldest messages were left out of the prompts of runs seen here, by the id of their message. */
  dropped: Record<string, number>;
  /** Why the thread can be read no more. */
  gone: "deleted" | "unreadable" | null;
  /** An event is missing: only a new snapshot helps. */
  stale: boolean;
}

const NEW_RUN: RunView = { position: null, to: 0, text: "", progress: null, prompt: null };

export function fromSnapshot({ thread, more, run }: Snapshot): ThreadView {
  const runs: Record<string, RunView> = {};
  if (run) runs[run.run] = { ...NEW_RUN, to: run.to, text: run.text };
  return { thread, more, runs, errors: {}, sources: {}, dropped: {}, gone: null, stale: false };
}

/** The thread after an event. Events already in it change nothing; a gap makes it stale. */
export function reduce(view: ThreadView, event: Event): ThreadView {
  if (event.thread !== view.thread.id || view.stale) return view;
  if (!("seq" in event)) return ephemeral(view, event);
  if (event.seq <= view.thread.seq) return view;
  if (event.seq > view.thread.seq + 1) return { ...view, stale: true };
  const { seq, version } = event;
  return durable({ ...view, thread: { ...view.thread, seq, version } }, event);
}

type Durable = Extract<Event, { seq: number }>;
type Ephemeral = Exclude<Event, Durable>;

function durable(view: ThreadView, event: Durable): ThreadView {
  switch (event.type) {
    case "thread.updated":
      return updated(view, event);
    case "thread.deleted":
      return { ...view, gone: "deleted" };
    case "thread.mutated":
      return mutated(view, event);
    case "run.queued":
      return withRun(view, event.run, { position: event.position });
    case "run.started":
      return started(view, event);
    case "run.recovered":
      return replaced(view, event);
    case "run.finished":
      return finished(view, event);
    default:
      return view;
  }
}

function ephemeral(view: ThreadView, event: Ephemeral): ThreadView {
  switch (event.type) {
    case "run.delta":
      return delta(view, event);
    case "run.progress":
      return withRun(view, event.run, {
        progress: { done: event.cached + event.processed, total: event.total },
      });
    case "thread.residency":
      return { ...view, thread: { ...view.thread, residency: event.residency } };
    case "thread.deleted":
      return view.gone ? view : { ...view, gone: "unreadable" };
    default:
      return view;
  }
}

function updated(view: ThreadView, event: Extract<Durable, { type: "thread.updated" }>): ThreadView {
  const thread = { ...view.thread };
  if (event.title !== undefined) thread.title = event.title;
  if (event.model !== undefined) thread.model = event.model;
  if (event.sampling !== undefined) thread.sampling = event.sampling;
  if (event.updated_at !== undefined) thread.updated_at = event.updated_at;
  return { ...view, thread };
}

function mutated(view: ThreadView, event: Extract<Durable, { type: "thread.mutated" }>): ThreadView {
  let messages: Message[] | null = view.thread.messages;
  for (const op of event.ops) {
    messages = applyOp(messages, op, view.more);
    if (!messages) return { ...view, stale: true };
  }
  const updated_at = event.updated_at ?? view.thread.updated_at;
  return { ...view, thread: { ...view.thread, messages, updated_at } };
}

function started(view: ThreadView, event: Extract<Durable, { type: "run.started" }>): ThreadView {
  const prompt = { tokens: event.prompt_tokens, reused: event.reused_tokens };
  const sources = event.sources ? { ...view.sources, [event.message]: event.sources } : view.sources;
  const dropped = event.dropped ? { ...view.dropped, [event.message]: event.dropped } : view.dropped;
  const next = withRun({ ...view, sources, dropped }, event.run, { position: null, prompt });
  return withMessage(next, event.message, (message) => ({ ...message, state: "streaming" }));
}

function delta(view: ThreadView, event: Extract<Event, { type: "run.delta" }>): ThreadView {
  const run = view.runs[event.run] ?? NEW_RUN;
  if (event.from !== run.to) return { ...view, stale: true };
  return withRun(view, event.run, { to: event.to, text: run.text + event.text, progress: null });
}

/** The run goes on after the server had died: what is known of its text gives way to what was stored. */
function replaced(view: ThreadView, event: Extract<Durable, { type: "run.recovered" }>): ThreadView {
  const { run, to, text } = event;
  const content = event.content.slice(0, event.content.length - text.length);
  const next = withRun(view, run, { position: null, progress: null, to, text });
  return withMessage(next, event.message, (message) => ({ ...message, state: "streaming", run, content }));
}

function finished(view: ThreadView, event: Extract<Durable, { type: "run.finished" }>): ThreadView {
  const { [event.run]: _, ...runs } = view.runs;
  const errors = event.error ? { ...view.errors, [event.message.id]: event.error } : view.errors;
  return withMessage({ ...view, runs, errors }, event.message.id, () => event.message);
}

function withRun(view: ThreadView, id: string, change: Partial<RunView>): ThreadView {
  const run = { ...(view.runs[id] ?? NEW_RUN), ...change };
  return { ...view, runs: { ...view.runs, [id]: run } };
}

function withMessage(view: ThreadView, id: string, change: (message: Message) => Message): ThreadView {
  const messages = view.thread.messages.map((message) => (message.id === id ? change(message) : message));
  return { ...view, thread: { ...view.thread, messages } };
}

/** How far this client has come, for a server that can tell the rest. */
export function sinceOf({ thread, runs }: ThreadView): Since {
  const { epoch, seq, messages } = thread;
  const run = messages.findLast(({ state }) => state === "streaming")?.run;
  return run ? { epoch, seq, run, to: runs[run]?.to ?? 0 } : { epoch, seq };
}

/** The thread after a return that the server could bridge; stale where the pieces do not fit. */
export function resumed(view: ThreadView, { seq, events, run }: Recovered): ThreadView {
  const next = events.reduce(reduce, view);
  if (next.thread.seq !== seq) return { ...next, stale: true };
  return run ? spoken(next, run) : next;
}

/** What a run has said meanwhile, from where this client had come, or all of it. */
function spoken(view: ThreadView, { run, from, to, text }: RunSnapshot): ThreadView {
  const known = view.runs[run] ?? NEW_RUN;
  if (from !== 0 && from !== known.to) return { ...view, stale: true };
  const whole = from === 0 ? text : known.text + text;
  return withRun(view, run, { to, text: whole, progress: whole ? null : known.progress });
}

/** The thread with an older page in front, as `thread.get {before}` answers it. */
export function withOlder(view: ThreadView, page: Snapshot): ThreadView {
  const known = new Set(view.thread.messages.map(({ id }) => id));
  const older = page.thread.messages.filter(({ id }) => !known.has(id));
  const messages = [...older, ...view.thread.messages];
  return { ...view, more: page.more, thread: { ...view.thread, messages } };
}

/** The thread with the places in the queue, which a snapshot does not tell. */
export function withPositions(view: ThreadView, runs: Run[]): ThreadView {
  const queued = runs.filter((run) => run.state === "queued");
  return queued.reduce((next, run) => withRun(next, run.id, { position: run.position }), view);
}

/** A message's text as of now: what is stored, then what its run has said since. */
export function contentOf(view: ThreadView, message: Message): string {
  const run = runOf(view, message);
  return run ? message.content + run.text : message.content;
}

export function runOf(view: ThreadView, message: Message): RunView | null {
  return isUnfinished(message) && message.run ? (view.runs[message.run] ?? null) : null;
}

export function isUnfinished(message: Message): boolean {
  return message.state === "queued" || message.state === "streaming";
}
