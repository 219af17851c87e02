import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { editAndGoOn, editOnly } from "../actions";
import { recall, remember } from "../memory";
import { orSay } from "../toast";
import { editing } from "../view";
import type { Message } from "../wire";
import { AutoGrow } from "./AutoGrow";
import { focusComposer, focusEdit } from "./focus";

/** A message's text to be changed. A change that is not saved yet survives a reload, as typed text does. */
export function EditBox({ message }: { message: Message }) {
  const key = `edit.${message.id}`;
  const [text, setText] = useState(() => recall(key) ?? message.content);
  const [saving, setSaving] = useState(false);
  const box = useRef<HTMLTextAreaElement>(null);
  useLayoutEffect(() => box.current?.focus(), []);

  const type = (next: string) => {
    setText(next);
    remember(key, next === message.content ? null : next);
  };
  const leave = (focus = () => focusEdit(message.id)) => {
    remember(key, null);
    editing.value = null;
    focus();
  };
  const save = async () => {
    if (!text.trim() || saving) return;
    setSaving(true);
    const asked = message.role === "user" ? editAndGoOn(message, text) : editOnly(message, text);
    const done = await orSay(asked.then(() => true));
    setSaving(false);
    if (done) leave(message.role === "user" ? focusComposer : undefined);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      leave();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey || (message.role === "user" && !event.shiftKey))) {
      event.preventDefault();
      void save();
    }
  };

  return (
    <div class="edit">
      <AutoGrow boxRef={box} label="Text of the message" testId="edit-box" text={text} onText={type} onKeyDown={onKeyDown} />
      <div class="buttons">
        <button type="button" class="button strong" data-testid="edit-save" disabled={!text.trim() || saving} onClick={() => void save()}>
          {message.role === "user" ? "Save and go on" : "Save"}
        </button>
        <button type="button" class="button" data-testid="edit-leave" onClick={() => leave()}>
          Cancel
        </button>
        {message.role === "user" && <p class="hint">What came after it is replaced.</p>}
      </div>
    </div>
  );
}
