import { useState } from "preact/hooks";
import { cancel, currentRun, send } from "../actions";
import { status } from "../client";
import { openProblem, openThread } from "../open-thread";
import { typed } from "../read-ahead";
import { rightOn } from "../rights";
import { route } from "../route";
import { orSay } from "../toast";
import { stopTyping, typedIn } from "../typing";
import { keep, unsent } from "../unsent";
import { AutoGrow } from "./AutoGrow";
import { ArrowUp, Stop } from "./icons";
import { IconButton } from "./IconButton";

/** Where the next message is written, or why none can be. */
export function Composer() {
  const thread = openThread.value?.thread;
  if (thread && rightOn(thread) === "read") return <ReadOnly />;
  return <Writing />;
}

function ReadOnly() {
  return (
    <p class="read-only" data-testid="read-only">
      You may read this thread, but not write in it. Fork it to go on in one of your own.
    </p>
  );
}

/** Where the next message is written. While a reply runs, both are there: stop it, or queue the next turn. */
function Writing() {
  const [sending, setSending] = useState(false);
  const text = unsent(route.value).value;
  const ready = Boolean(text.trim()) && !sending && canSend();
  const run = currentRun(openThread.value?.thread.messages ?? []);

  const submit = async () => {
    if (!ready) return;
    setSending(true);
    stopTyping();
    await orSay(send(text));
    setSending(false);
  };
  const onText = (next: string) => {
    keep(route.peek(), next);
    typed(route.peek());
    typedIn(route.peek(), next);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    void submit();
  };

  return (
    <form class="composer" aria-label="Write a message" onSubmit={(event) => event.preventDefault()}>
      <AutoGrow
        label="Message"
        testId="composer"
        placeholder={run ? "Write the next message" : "Write a message"}
        text={text}
        onText={onText}
        onKeyDown={onKeyDown}
      />
      {run && (
        <IconButton label="Stop (Esc)" testId="stop" class="stop" disabled={status.value.kind !== "open"} onClick={() => void orSay(cancel(run))}>
          <Stop />
        </IconButton>
      )}
      <IconButton label={labelOf(Boolean(run))} testId="send" class="send" disabled={!ready} onClick={() => void submit()}>
        <ArrowUp />
      </IconButton>
    </form>
  );
}

function labelOf(busy: boolean): string {
  if (status.value.kind !== "open") return "Send, once the connection is back";
  return busy ? "Send after this reply" : "Send";
}

function canSend(): boolean {
  return status.value.kind === "open" && !openThread.value?.gone && !openProblem.value;
}
