import type { ErrorBody } from "./wire";

/** The server refused a command; `message` is the server's own sentence. */
export class CommandError extends Error {
  readonly code: string;
  readonly retryable: boolean;
  /** The field of the command that the refusal speaks of. */
  readonly field: string | null;
  /** What role the reader has, where it does not suffice. */
  readonly role: string | null;

  constructor(body: ErrorBody) {
    super(body.message);
    this.name = "CommandError";
    this.code = body.code;
    this.retryable = body.retryable;
    this.field = textOf(body.details?.["field"]);
    this.role = textOf(body.details?.["role"]);
  }
}

function textOf(detail: unknown): string | null {
  return typeof detail === "string" ? detail : null;
}

/** The connection was cut before the answer came, so nobody knows whether the command took effect. */
export class CutError extends Error {
  constructor(sentence = "The connection was cut before the server answered. Look whether it took effect, then try again.") {
    super(sentence);
    this.name = "CutError";
  }
}

export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
