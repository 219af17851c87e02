import { useEffect, useState } from "preact/hooks";
import { again, cancel, deleteMessage, fork } from "../actions";
import { copy } from "../copy";
import { isUnfinished } from "../thread";
import { orSay, say } from "../toast";
import { editing, settingsOpen } from "../view";
import type { Message } from "../wire";
import { Again, Bin, Check, Copy, Cross, Fork, Onward, Pencil } from "./icons";
import { IconButton } from "./IconButton";

interface Props {
  message: Message;
  text: string;
  last: boolean;
  writable: boolean;
}

export function MessageActions({ message, text, last, writable }: Props) {
  if (isUnfinished(message)) return writable ? <Waiting message={message} /> : null;
  const { role } = message;
  return (
    <div class="message-actions" role="group" aria-label="What can be done with this message">
      {text && <CopyButton text={text} />}
      {writable && role !== "tool" && <EditButton message={message} />}
      {writable && last && role === "assistant" && (
        <IconButton label="Regenerate" testId="message-regenerate" onClick={() => void orSay(again("regenerate"))}>
          <Again />
        </IconButton>
      )}
      {writable && last && role === "user" && (
        <IconButton label="Get a reply" testId="message-regenerate" onClick={() => void orSay(again("reply"))}>
          <Again />
        </IconButton>
      )}
      {writable && last && role === "assistant" && text && (
        <IconButton label="Continue" testId="message-continue" onClick={() => void orSay(again("continue"))}>
          <Onward />
        </IconButton>
      )}
      <IconButton label="Fork the thread here" testId="message-fork" onClick={() => void orSay(fork(message))}>
        <Fork />
      </IconButton>
      {writable && <DeleteButton message={message} />}
    </div>
  );
}

/** A reply that is written now is stopped below, with the one Stop; one that waits is taken back here. */
function Waiting({ message }: { message: Message }) {
  const { run, state } = message;
  if (state !== "queued" || !run) return null;
  return (
    <div class="message-actions">
      <IconButton label="Do not reply to this" testId="message-cancel" class="named" onClick={() => void orSay(cancel(run))}>
        <Cross />
        <span>Do not reply</span>
      </IconButton>
    </div>
  );
}

function EditButton({ message }: { message: Message }) {
  const edit = () => {
    if (message.role === "system") settingsOpen.value = true;
    else editing.value = message.id;
  };
  return (
    <IconButton label="Edit" testId="message-edit" onClick={edit}>
      <Pencil />
    </IconButton>
  );
}

function CopyButton({ text }: { text: string }) {
  const [done, setDone] = useLapse(1600);
  const run = async () => {
    if (await copy(text)) setDone();
    else say("The browser did not let the page copy.");
  };
  return (
    <IconButton label={done ? "Copied" : "Copy"} testId="message-copy" onClick={() => void run()}>
      {done ? <Check /> : <Copy />}
    </IconButton>
  );
}

/** Deleting cannot be undone, so it takes a second press of the same button. */
function DeleteButton({ message }: { message: Message }) {
  const [armed, arm] = useLapse(4000);
  const press = () => (armed ? void orSay(deleteMessage(message)) : arm());
  return (
    <IconButton
      label={armed ? "Press again to delete" : "Delete"}
      testId="message-delete"
      class={armed ? "armed" : ""}
      onClick={press}
    >
      <Bin />
      {armed && <span>Delete?</span>}
    </IconButton>
  );
}

/** True for a while after it was set. */
function useLapse(ms: number): [boolean, () => void] {
  const [on, setOn] = useState(false);
  useEffect(() => {
    if (!on) return;
    const timer = setTimeout(() => setOn(false), ms);
    return () => clearTimeout(timer);
  }, [on]);
  return [on, () => setOn(true)];
}
