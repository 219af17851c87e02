import type { RunView } from "../thread";
import type { ErrorBody, Message } from "../wire";

interface Props {
  message: Message;
  run: RunView | null;
  error: ErrorBody | null;
  /** Nothing of the message can be seen yet. */
  silent: boolean;
}

/** What a reader must know of a message's state, where its text does not show it. */
export function MessageNote({ message, run, error, silent }: Props) {
  const note = noteOf(message, run, error, silent);
  return note && <p class="message-note">{note}</p>;
}

function noteOf(message: Message, run: RunView | null, error: ErrorBody | null, silent: boolean): string | null {
  switch (message.state) {
    case "queued":
      return queued(run?.position ?? null);
    case "streaming":
      return silent ? reading(run) : null;
    case "cancelled":
      return message.reason === "timeout" ? "Stopped: the time was up." : "Stopped.";
    case "interrupted":
      return "Interrupted before it was finished.";
    case "failed":
      return `Failed. ${error?.message ?? "The server did not say why."}`;
    default:
      return endOf(message);
  }
}

function queued(position: number | null): string {
  if (!position) return "Queued.";
  return `Queued behind ${position} ${position === 1 ? "reply" : "replies"}.`;
}

function reading(run: RunView | null): string {
  const progress = run?.progress;
  if (!progress) return "Reading the thread…";
  return `Reading the thread: ${progress.done.toLocaleString("en")} of ${progress.total.toLocaleString("en")} tokens.`;
}

function endOf(message: Message): string | null {
  if (message.reason === "length") return "Ended at the limit of max tokens.";
  if (message.reason === "context") return "Ended because the context is full.";
  if (message.role === "assistant" && !message.content) return "The model had nothing to say.";
  return null;
}
