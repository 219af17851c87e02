import { useEffect, useState } from "preact/hooks";
import { CommandError, sentenceOf } from "../errors";
import { openThread } from "../open-thread";
import { type Boxes, fromBoxes, type Problems, problemsIn, RULES, toBoxes } from "../sampling";
import { loadFront, saveSettings, systemMessage } from "../settings";
import { settingsOpen } from "../view";
import type { Thread } from "../wire";
import { Dialog } from "./Dialog";
import { Cross } from "./icons";
import { IconButton } from "./IconButton";
import { NumberField, SystemField, StopField } from "./SettingsFields";

export function Settings() {
  const [ready, setReady] = useState(false);
  useEffect(() => void loadFront().finally(() => setReady(true)), []);
  const thread = openThread.value?.thread;
  return (
    <Dialog label="Settings of this thread" kind="sheet" onClose={close}>
      <div class="sheet-head">
        <h2>Settings</h2>
        <IconButton label="Close" testId="settings-close" onClick={close}>
          <Cross />
        </IconButton>
      </div>
      {thread && ready && !openThread.value?.more && <Form key={thread.id} thread={thread} />}
    </Dialog>
  );
}

function close(): void {
  settingsOpen.value = false;
}

function Form({ thread }: { thread: Thread }) {
  const [boxes, setBoxes] = useState<Boxes>(() => toBoxes(thread.sampling));
  const [system, setSystem] = useState(() => systemMessage(thread)?.content ?? "");
  const [problems, setProblems] = useState<Problems>({});
  const [refused, setRefused] = useState<string | null>(null);
  const change = (field: keyof Boxes) => (text: string) => {
    setBoxes((now) => ({ ...now, [field]: text }));
    setProblems((now) => ({ ...now, [field]: undefined }));
  };
  const save = async () => {
    const found = problemsIn(boxes);
    setProblems(found);
    setRefused(null);
    if (Object.keys(found).length) return;
    try {
      await saveSettings(thread, fromBoxes(boxes, thread.sampling), system.trim());
      close();
    } catch (error) {
      const field = fieldOf(error);
      if (field) setProblems({ [field]: sentenceOf(error) });
      else setRefused(sentenceOf(error));
    }
  };
  return (
    <form
      class="settings"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        void save();
      }}
    >
      <div class="settings-scroll">
        <SystemField text={system} onText={setSystem} />
        <div class="numbers" role="group" aria-labelledby="sampling">
          <div class="field wide">
            <h3 id="sampling">Sampling</h3>
            <p class="hint">An empty field leaves the choice to the model.</p>
          </div>
          {RULES.map((rule) => (
            <NumberField key={rule.field} rule={rule} text={boxes[rule.field]} problem={problems[rule.field]} onText={change(rule.field)} />
          ))}
          <StopField text={boxes.stop} problem={problems.stop} onText={change("stop")} />
        </div>
      </div>
      <div class="sheet-foot">
        {refused && (
          <p class="problem" role="alert">
            {refused}
          </p>
        )}
        <div class="buttons">
          <button type="submit" class="button strong" data-testid="settings-save">
            Save
          </button>
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
        </div>
      </div>
    </form>
  );
}

/** The box a refusal speaks of: the server names it as `sampling.top_p` or `sampling.stop[0]`. */
function fieldOf(error: unknown): keyof Boxes | null {
  const name = error instanceof CommandError ? error.field : null;
  const field = /^sampling\.([a-z_]+)/.exec(name ?? "")?.[1];
  return [...RULES.map((rule) => rule.field), "stop" as const].find((known) => known === field) ?? null;
}
