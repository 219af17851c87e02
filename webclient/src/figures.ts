import { runOf, type ThreadView } from "./thread";
import type { Message, Sources, Timings, Usage } from "./wire";

/** What the quiet corner tells of the last run. */
export interface Figures {
  reused: number | null;
  prompt: number | null;
  /** Where the reused tokens came from, where that was seen here. */
  sources?: Sources | undefined;
  /** Tokens per second. */
  speed: number | null;
}

const NOTHING: Figures = { reused: null, prompt: null, speed: null };

export function figuresOf(view: ThreadView): Figures {
  const message = view.thread.messages.findLast((one) => hasFigures(view, one));
  if (!message) return NOTHING;
  const sources = view.sources[message.id];
  const prompt = runOf(view, message)?.prompt;
  if (prompt) return { reused: prompt.reused, prompt: prompt.tokens, speed: null, sources };
  return { ...finishedFigures(message), sources };
}

function hasFigures(view: ThreadView, message: Message): boolean {
  return Boolean(runOf(view, message)?.prompt ?? message.usage?.prompt_tokens);
}

function finishedFigures({ usage, timings }: Message): Figures {
  if (!usage) return NOTHING;
  return { reused: usage.reused_tokens, prompt: usage.prompt_tokens, speed: speedOf(usage, timings) };
}

/** `generate_ms` begins when the first token is there already, so that one does not count. */
function speedOf(usage: Usage, timings: Timings | null | undefined): number | null {
  if (!timings || timings.generate_ms <= 0 || usage.completion_tokens < 2) return null;
  return ((usage.completion_tokens - 1) * 1000) / timings.generate_ms;
}

const PLACES: [keyof Sources, string][] = [["live", "live memory"], ["ram", "RAM"], ["disk", "disk"]];

/** Where reused tokens came from, most first: "from disk", "from disk and live memory". */
export function placesOf(sources: Sources | undefined): string | null {
  const used = PLACES.filter(([place]) => sources?.[place]).sort(([a], [b]) => sources![b] - sources![a]);
  return used.length ? `from ${used.map(([, name]) => name).join(" and ")}` : null;
}
