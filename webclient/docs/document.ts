/** An AsyncAPI document with its references followed. What they lead to is made out when it is looked at. */

export interface Schema {
  type?: string;
  const?: unknown;
  enum?: unknown[];
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  anyOf?: Schema[];
  additionalProperties?: Schema | boolean;
  default?: unknown;
  title?: string;
  pattern?: string;
  [bound: string]: unknown;
}

export interface Message {
  name: string;
  summary: string;
  payload: Schema;
}

export interface Operation {
  action: "receive" | "send";
  summary: string;
  messages: Message[];
  reply?: { messages: Message[] };
}

export interface Document {
  info: { title: string; version: string; description: string };
  channels: Record<string, { address: string }>;
  operations: Record<string, Operation>;
}

/** The document at `url`. */
export async function load(url: string): Promise<Document> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} was answered with ${answer.status}.`);
  const whole: unknown = await answer.json();
  return followed(whole, whole) as Document;
}

function followed(value: unknown, whole: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if ("$ref" in value && typeof value.$ref === "string") return followed(at(whole, value.$ref), whole);
  return new Proxy(value, { get: (target, name) => followed(Reflect.get(target, name), whole) });
}

/** What a JSON pointer in a fragment means (RFC 6901, 6). */
function at(whole: unknown, reference: string): unknown {
  const steps = reference.slice(2).split("/").map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
  return steps.reduce((value, step) => (value as Record<string, unknown>)[step], whole);
}
