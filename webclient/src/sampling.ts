import type { Sampling } from "./wire";

/** The settings a reader can change, as text in boxes on one side and as the wire's values on the other. */

export type Field = "temperature" | "top_p" | "top_k" | "min_p" | "max_tokens" | "seed";
export type Boxes = Record<Field | "stop", string>;
export type Problems = Partial<Record<Field | "stop", string>>;

export interface Rule {
  field: Field;
  label: string;
  hint: string;
  whole: boolean;
  min: number;
  max: number;
}

const LARGEST_INT = 2 ** 31 - 1;
const LARGEST_SEED = 2 ** 32 - 2;
const MOST_STOPS = 16;

export const RULES: Rule[] = [
  { field: "temperature", label: "Temperature", hint: "0 always takes the likeliest word", whole: false, min: 0, max: 100 },
  { field: "top_p", label: "Top p", hint: "share of probability, 0 to 1", whole: false, min: 0, max: 1 },
  { field: "top_k", label: "Top k", hint: "candidates kept, 0 keeps all", whole: true, min: 0, max: LARGEST_INT },
  { field: "min_p", label: "Min p", hint: "against the best, 0 to 1", whole: false, min: 0, max: 1 },
  { field: "max_tokens", label: "Max tokens", hint: "longest reply", whole: true, min: 1, max: LARGEST_INT },
  { field: "seed", label: "Seed", hint: "same seed, same draws", whole: true, min: 0, max: LARGEST_SEED },
];

export function toBoxes(sampling: Sampling): Boxes {
  const boxes = { stop: (sampling.stop ?? []).map(escape).join("\n") } as Boxes;
  for (const { field } of RULES) boxes[field] = sampling[field]?.toString() ?? "";
  return boxes;
}

export function problemsIn(boxes: Boxes): Problems {
  const problems: Problems = {};
  for (const rule of RULES) {
    const problem = problemWith(rule, boxes[rule.field].trim());
    if (problem) problems[rule.field] = problem;
  }
  if (stopsIn(boxes).length > MOST_STOPS) problems.stop = `At most ${MOST_STOPS} stop strings.`;
  return problems;
}

function problemWith({ whole, min, max }: Rule, text: string): string | null {
  if (!text) return null;
  const value = Number(text);
  if (!Number.isFinite(value)) return "A number, please.";
  if (whole && !Number.isInteger(value)) return "A whole number, please.";
  if (value < min) return `At least ${min}.`;
  return value > max ? `At most ${max}.` : null;
}

/** The whole sampling of the thread: what the boxes do not show stays, an emptied box becomes null. */
export function fromBoxes(boxes: Boxes, before: Sampling): Sampling {
  const sampling: Sampling = { ...before };
  for (const { field } of RULES) {
    const text = boxes[field].trim();
    if (text) sampling[field] = Number(text);
    else if (field in before) sampling[field] = null;
  }
  const stops = stopsIn(boxes);
  if (stops.length) sampling.stop = stops;
  else if ("stop" in before) sampling.stop = null;
  return sampling;
}

function stopsIn(boxes: Boxes): string[] {
  return boxes.stop.split("\n").filter(Boolean).map(unescape);
}

const ESCAPES: Record<string, string> = { n: "\n", t: "\t", "\\": "\\" };

function escape(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\t", "\\t");
}

function unescape(text: string): string {
  return text.replace(/\\([nt\\])/g, (_, letter: string) => ESCAPES[letter] ?? letter);
}
