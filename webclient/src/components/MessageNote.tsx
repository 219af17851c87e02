import type { RunView } from "../thread";
import type { ErrorBody, Message } from "../wire";

interface Props {
  message: Message;
  run: RunView | null;
  error: ErrorBody | null;
  /** How many of the oldest messages the model could not be shown. */
  dropped: number;
  /** Nothing of the message can be seen yet. */
  silent: boolean;
}

/** What a reader must know of a message's state, where its text does not show it. */
export function MessageNote({ message, run, error, dropped, silent }: Props) {
  const note = noteOf(message, run, error, silent);
  return (
    <>
      {dropped > 0 && (
        <p class="message-note left-out" data-testid="dropped">
          {leftOut(dropped)}
        </p>
      )}
      {note && <p class="message-note">{note}</p>}
    </>
  );
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
      return `Failed. ${error?.message ?? "Why was told only then; regenerate it to try again."}`;
    default:
      return endOf(message);
  }
}

function leftOut(dropped: number): string {
  const some = dropped === 1 ? "oldest message was" : `oldest ${dropped.toLocaleString("en")} messages were`;
  return `The ${some} left out of what the model read.`;
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
