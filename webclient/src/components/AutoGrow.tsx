import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

interface Props {
  text: string;
  onText: (text: string) => void;
  onKeyDown: (event: KeyboardEvent) => void;
  label: string;
  testId: string;
  placeholder?: string;
  boxRef?: RefObject<HTMLTextAreaElement | null>;
}

/** A text box as high as its text; a style sheet says where that ends and scrolling begins. */
export function AutoGrow({ text, onText, onKeyDown, label, testId, placeholder, boxRef }: Props) {
  const own = useRef<HTMLTextAreaElement>(null);
  const box = boxRef ?? own;
  useLayoutEffect(() => {
    const area = box.current;
    if (!area) return;
    area.style.height = "auto";
    area.style.height = `${area.scrollHeight}px`;
  }, [text]);
  return (
    <textarea
      ref={box}
      class="auto-grow"
      rows={1}
      aria-label={label}
      data-testid={testId}
      placeholder={placeholder}
      value={text}
      onInput={(event) => onText(event.currentTarget.value)}
      onKeyDown={onKeyDown}
    />
  );
}
