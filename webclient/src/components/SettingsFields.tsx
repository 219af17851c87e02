import type { Rule } from "../sampling";

interface TextProps {
  text: string;
  problem?: string | undefined;
  onText: (text: string) => void;
}

export function SystemField({ text, onText }: TextProps) {
  return (
    <label class="field wide">
      <span class="field-label">System prompt</span>
      <textarea
        rows={6}
        data-testid="setting-system"
        placeholder="How the model should behave in this thread"
        value={text}
        onInput={(event) => onText(event.currentTarget.value)}
      />
    </label>
  );
}

export function NumberField({ rule, text, problem, onText }: TextProps & { rule: Rule }) {
  const id = `setting-${rule.field}`;
  return (
    <div class="field" data-wrong={Boolean(problem)}>
      <label class="field-label" for={id}>
        {rule.label}
      </label>
      <input
        id={id}
        type="text"
        inputMode={rule.whole ? "numeric" : "decimal"}
        autocomplete="off"
        placeholder="auto"
        data-testid={id}
        aria-invalid={Boolean(problem)}
        aria-describedby={`${id}-about`}
        value={text}
        onInput={(event) => onText(event.currentTarget.value)}
      />
      <p id={`${id}-about`} class={problem ? "problem" : "hint"}>
        {problem ?? rule.hint}
      </p>
    </div>
  );
}

export function StopField({ text, problem, onText }: TextProps) {
  return (
    <div class="field wide" data-wrong={Boolean(problem)}>
      <label class="field-label" for="setting-stop">
        Stop strings
      </label>
      <textarea
        id="setting-stop"
        rows={3}
        data-testid="setting-stop"
        aria-invalid={Boolean(problem)}
        aria-describedby="setting-stop-about"
        value={text}
        onInput={(event) => onText(event.currentTarget.value)}
      />
      <p id="setting-stop-about" class={problem ? "problem" : "hint"}>
        {problem ?? "One a line. \\n stands for a line break, \\t for a tab."}
      </p>
    </div>
  );
}
