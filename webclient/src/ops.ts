import type { AppliedOp, Message } from "./wire";

/** The messages after an op, or null where the op speaks of a message that must be known but is not. */
export function applyOp(messages: Message[], op: AppliedOp, more: boolean): Message[] | null {
  switch (op.op) {
    case "append":
      return [...messages, op.message];
    case "insert":
      return insert(messages, op.before, op.message, more);
    case "edit":
      return edit(messages, op);
    case "delete":
      return messages.filter((message) => message.id !== op.message);
    case "truncate":
      return truncate(messages, op.after);
    default:
      return null;
  }
}

function insert(messages: Message[], before: string, message: Message, more: boolean): Message[] | null {
  const at = messages.findIndex(({ id }) => id === before);
  // Among the messages that were never loaded there is nothing to keep up to date.
  if (at < 0) return more ? messages : null;
  // Right before the first loaded message of several pages is still the page we have.
  return messages.toSpliced(at, 0, message);
}

function edit(messages: Message[], op: Extract<AppliedOp, { op: "edit" }>): Message[] {
  return messages.map((message) => (message.id === op.message.id ? op.message : message));
}

function truncate(messages: Message[], after: string | null): Message[] | null {
  if (after === null) return [];
  const at = messages.findIndex(({ id }) => id === after);
  return at < 0 ? null : messages.slice(0, at + 1);
}
