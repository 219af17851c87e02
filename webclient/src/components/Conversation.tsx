import { useEffect, useState } from "preact/hooks";
import { loadOlder } from "../open-thread";
import { rightOn } from "../rights";
import { runOf, type ThreadView } from "../thread";
import { editing, turns } from "../view";
import { ArrowDown } from "./icons";
import { MessageView } from "./MessageView";
import { useScroll } from "./use-scroll";

export function Conversation({ view }: { view: ThreadView }) {
  const scroll = useScroll(view.thread.id);
  useEffect(() => {
    editing.value = null;
  }, [view.thread.id]);
  useEffect(scroll.toEnd, [turns.value]);
  return (
    <div class="conversation">
      <div class="conversation-scroll" ref={scroll.frame} tabIndex={-1}>
        <div class="conversation-content" ref={scroll.content}>
          {view.more && <LoadOlder holding={scroll.holding} />}
          <Messages view={view} />
          {view.gone && <p class="notice">{GONE[view.gone]} What you typed is still below.</p>}
        </div>
      </div>
      {!scroll.atEnd && (
        <button type="button" class="jump" data-testid="jump" onClick={scroll.toEnd}>
          <ArrowDown />
          Jump to latest
        </button>
      )}
    </div>
  );
}

const GONE = {
  deleted: "This thread was deleted.",
  unreadable: "This thread was deleted, or is no longer shared with you.",
};

function Messages({ view }: { view: ThreadView }) {
  const { messages } = view.thread;
  const last = messages.at(-1);
  const writable = !view.gone && rightOn(view.thread) !== "read";
  return (
    <ol class="messages" aria-label="Messages">
      {messages.map((message) => (
        <MessageView
          key={message.id}
          message={message}
          run={runOf(view, message)}
          error={view.errors[message.id] ?? null}
          dropped={view.dropped[message.id] ?? 0}
          writable={writable}
          last={message === last}
          edited={editing.value === message.id}
        />
      ))}
    </ol>
  );
}

function LoadOlder({ holding }: { holding: (change: () => Promise<void>) => Promise<void> }) {
  const [loading, setLoading] = useState(false);
  const load = async () => {
    setLoading(true);
    await holding(loadOlder);
    setLoading(false);
  };
  return (
    <button type="button" class="quiet-button" data-testid="load-older" disabled={loading} onClick={() => void load()}>
      {loading ? "Loading…" : "Load older messages"}
    </button>
  );
}
