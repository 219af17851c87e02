import { useEffect, useState } from "preact/hooks";
import { openThread } from "../open-thread";
import type { MessageState } from "../wire";

const LONGEST = 400;

/** Says to a screen reader what eyes see: that a reply began and, once it is whole, what it says. */
export function Announcer() {
  const view = openThread.value;
  const reply = view?.thread.messages.findLast(({ role }) => role === "assistant");
  const [said, setSaid] = useState("");
  const [before, setBefore] = useState<string | null>(null);
  const state = reply ? `${view?.thread.id}/${reply.id}/${reply.state}` : null;
  useEffect(() => {
    // A thread that was just opened has nothing new to say.
    const known = before?.split("/")[0] === view?.thread.id;
    if (reply && known && state !== before) setSaid(sentence(reply.state, reply.content));
    setBefore(state ?? `${view?.thread.id}/`);
  }, [state]);
  return (
    <p class="visually-hidden" role="status" aria-live="polite">
      {said}
    </p>
  );
}

function sentence(state: MessageState, content: string): string {
  if (state === "queued") return "The reply is queued.";
  if (state === "streaming") return "The reply is being written.";
  const text = content.length > LONGEST ? `${content.slice(0, LONGEST)}…` : content;
  return state === "done" ? `Reply: ${text}` : `The reply was ${state}. ${text}`;
}
