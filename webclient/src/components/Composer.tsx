import { useState } from "preact/hooks";
import { cancel, currentRun, send } from "../actions";
import { status } from "../client";
import { openProblem, openThread } from "../open-thread";
import { typed } from "../read-ahead";
import { route } from "../route";
import { orSay } from "../toast";
import { keep, unsent } from "../unsent";
import { AutoGrow } from "./AutoGrow";
import { ArrowUp, Stop } from "./icons";
import { IconButton } from "./IconButton";

/** Where the next message is written. While a reply runs, both are there: stop it, or queue the next turn. */
export function Composer() {
  const [sending, setSending] = useState(false);
  const text = unsent(route.value).value;
  const ready = Boolean(text.trim()) && !sending && canSend();
  const run = currentRun(openThread.value?.thread.messages ?? []);

  const submit = async () => {
    if (!ready) return;
    setSending(true);
    await orSay(send(text));
    setSending(false);
  };
  const onText = (next: string) => {
    keep(route.peek(), next);
    typed(route.peek());
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
        <IconButton label="Stop (Esc)" testId="stop" class="stop" onClick={() => void orSay(cancel(run))}>
          <Stop />
        </IconButton>
      )}
      <IconButton label={run ? "Send after this reply" : "Send"} testId="send" class="send" disabled={!ready} onClick={() => void submit()}>
        <ArrowUp />
      </IconButton>
    </form>
  );
}

function canSend(): boolean {
  return status.value.kind === "open" && !openThread.value?.deleted && !openProblem.value;
}
