import { hello } from "../client";
import { memo } from "../memo";
import type { RunView } from "../thread";
import { clockOf, wholeTime } from "../time";
import type { ErrorBody, Message, Role } from "../wire";
import { EditBox } from "./EditBox";
import { MarkdownText } from "./MarkdownText";
import { MessageActions } from "./MessageActions";
import { MessageNote } from "./MessageNote";

interface Props {
  message: Message;
  run: RunView | null;
  error: ErrorBody | null;
  dropped: number;
  writable: boolean;
  last: boolean;
  edited: boolean;
}

/** One turn: a knot on the thread, who said it, what was said, how it ended, what can be done with it. */
export const MessageView = memo(({ message, run, error, dropped, writable, last, edited }: Props) => {
  const text = message.content + (run?.text ?? "");
  return (
    <li
      class="message"
      data-testid="message"
      data-role={message.role}
      data-state={message.state}
      data-message-id={message.id}
      data-last={last}
    >
      {run?.progress && <Reading progress={run.progress} />}
      <span class="knot" aria-hidden="true" />
      <div class="message-head">
        <h2>{nameOf(message)}</h2>
        <time dateTime={message.created_at} title={wholeTime(message.created_at)}>
          {clockOf(message.created_at)}
        </time>
      </div>
      {edited ? <EditBox message={message} /> : <Text message={message} text={text} />}
      <MessageNote message={message} run={run} error={error} dropped={dropped} silent={!text} />
      {!edited && <MessageActions message={message} text={text} last={last} writable={writable} />}
    </li>
  );
});

/** While the prompt is read, the thread fills down to where the reading is. */
function Reading({ progress }: { progress: NonNullable<RunView["progress"]> }) {
  const part = progress.done / Math.max(1, progress.total);
  return <span class="reading" style={{ height: `${Math.round(part * 100)}%` }} aria-hidden="true" />;
}

function Text({ message, text }: { message: Message; text: string }) {
  if (message.role !== "assistant") return <div class="message-text plain">{text}</div>;
  return <MarkdownText text={text} finished={message.state !== "streaming"} />;
}

const NAMES: Record<Role, string> = { system: "System prompt", user: "You", assistant: "Reply", tool: "Tool" };

function nameOf({ role, by }: Message): string {
  const other = role === "user" && by && hello.value && by.id !== hello.value.principal.id;
  return other ? by.name : NAMES[role];
}
