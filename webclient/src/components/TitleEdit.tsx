import { useLayoutEffect, useRef } from "preact/hooks";

interface Props {
  title: string;
  label: string;
  onDone: (title: string) => void;
  onLeave: () => void;
}

const LONGEST = 256;

/** A title as a box: Enter or leaving it keeps the change, Esc does not. */
export function TitleEdit({ title, label, onDone, onLeave }: Props) {
  const box = useRef<HTMLInputElement>(null);
  const over = useRef(false);
  useLayoutEffect(() => {
    box.current?.focus();
    box.current?.select();
  }, []);
  const end = (keep: boolean) => {
    // Taking the box away makes it lose the focus, which would end the edit a second time.
    if (over.current) return;
    over.current = true;
    const next = box.current?.value.trim() ?? title;
    if (keep && next !== title) onDone(next);
    onLeave();
  };
  return (
    <input
      ref={box}
      class="title-edit"
      aria-label={label}
      maxLength={LONGEST}
      defaultValue={title}
      onBlur={() => end(true)}
      onClick={(event) => event.stopPropagation()}
      onKeyDown={(event) => {
        event.stopPropagation();
        if (event.isComposing) return;
        if (event.key === "Enter") end(true);
        if (event.key === "Escape") end(false);
      }}
    />
  );
}
