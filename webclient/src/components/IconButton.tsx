import type { ComponentChildren } from "preact";

interface Props {
  label: string;
  onClick: () => void;
  children: ComponentChildren;
  testId?: string;
  disabled?: boolean;
  class?: string;
}

/** A button that shows a picture; its label is its name for those who do not see it, and its tooltip. */
export function IconButton({ label, onClick, children, testId, disabled, class: kind = "" }: Props) {
  return (
    <button
      type="button"
      class={`icon-button ${kind}`}
      aria-label={label}
      title={label}
      data-testid={testId}
      disabled={disabled}
      onClick={(event) => {
        event.stopPropagation();
        onClick();
      }}
    >
      {children}
    </button>
  );
}
