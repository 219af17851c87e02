import { useEffect, useRef, useState } from "preact/hooks";
import { goTo } from "../route";
import { threads, unrollThreads } from "../thread-list";
import { ago, now } from "../time";
import { titleOf } from "../title";
import { switcherOpen } from "../view";
import type { Thread } from "../wire";
import { Dialog } from "./Dialog";
import { Plus } from "./icons";
import { ResidencyDot } from "./ResidencyDot";
import { startNew } from "./Sidebar";

const SHOWN = 50;

/** Find a thread by its title, or begin one, without leaving the keyboard. The first entry is the new thread. */
export function Switcher() {
  const [words, setWords] = useState("");
  const [moved, setMoved] = useState<number | null>(null);
  const found = matching(threads.value ?? [], words);
  // With words typed, the best match is meant, also one that comes later; without, a new thread.
  const at = Math.min(moved ?? (words.trim() ? 1 : 0), found.length);
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => void unrollThreads(), []);
  useEffect(() => list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" }), [at]);

  const close = () => (switcherOpen.value = false);
  const choose = (index: number) => {
    close();
    const thread = found[index - 1];
    if (thread) goTo(thread.id);
    else startNew();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setMoved((at + step + found.length + 1) % (found.length + 1));
    else if (event.key === "Enter") choose(at);
    else return;
    event.preventDefault();
  };
  const type = (next: string) => {
    setWords(next);
    setMoved(null);
  };

  return (
    <Dialog label="Find a thread" kind="switcher" onClose={close}>
      <input
        type="text"
        role="combobox"
        aria-expanded="true"
        aria-controls="switcher-list"
        aria-activedescendant={`switcher-${at}`}
        aria-label="Title of a thread"
        placeholder="Find a thread"
        data-testid="switcher"
        autofocus
        autocomplete="off"
        value={words}
        onInput={(event) => type(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <ul ref={list} id="switcher-list" role="listbox" aria-label="Threads">
        <Option index={0} at={at} onChoose={choose}>
          <Plus />
          <span>New thread</span>
        </Option>
        {found.map((thread, index) => (
          <Option key={thread.id} index={index + 1} at={at} onChoose={choose}>
            <ResidencyDot residency={thread.residency} />
            <span>{titleOf(thread)}</span>
            <time dateTime={thread.updated_at}>{ago(thread.updated_at, now.value)}</time>
          </Option>
        ))}
      </ul>
    </Dialog>
  );
}

interface OptionProps {
  index: number;
  at: number;
  onChoose: (index: number) => void;
  children: preact.ComponentChildren;
}

function Option({ index, at, onChoose, children }: OptionProps) {
  return (
    <li id={`switcher-${index}`} role="option" aria-selected={index === at} onClick={() => onChoose(index)}>
      {children}
    </li>
  );
}

function matching(list: Thread[], words: string): Thread[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (thread: Thread) => wanted.every((word) => titleOf(thread).toLowerCase().includes(word));
  return list.filter(has).slice(0, SHOWN);
}
