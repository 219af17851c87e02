import { useEffect, useRef } from "preact/hooks";
import { goTo } from "../route";
import { eraOf, now } from "../time";
import { loadMoreThreads, moreThreads, threads } from "../thread-list";
import { orSay } from "../toast";
import { drawerOpen, switcherOpen } from "../view";
import type { Thread } from "../wire";
import { focusComposer } from "./focus";
import { Foot } from "./Foot";
import { Cross, Mark, Plus, Search } from "./icons";
import { IconButton } from "./IconButton";
import { ThreadItem } from "./ThreadItem";

export function Sidebar() {
  const box = useRef<HTMLElement>(null);
  const open = drawerOpen.value;
  useEffect(() => {
    if (!open) return;
    box.current?.querySelector<HTMLElement>("a, button")?.focus();
    return () => document.querySelector<HTMLElement>(".header .menu")?.focus();
  }, [open]);
  return (
    <>
      <aside ref={box} id="sidebar" class="sidebar" data-open={open} aria-label="Threads">
        <Head />
        <nav class="thread-scroll" aria-label="All threads" data-testid="thread-list">
          <ThreadList />
        </nav>
        <Foot />
      </aside>
      {open && <button type="button" class="scrim" aria-label="Close the list" onClick={closeDrawer} />}
    </>
  );
}

function closeDrawer(): void {
  drawerOpen.value = false;
}

function Head() {
  return (
    <div class="sidebar-head">
      <div class="brand">
        <Mark />
        <span>livethread</span>
        <IconButton label="Find a thread (Ctrl K)" class="find" onClick={() => (switcherOpen.value = true)}>
          <Search />
        </IconButton>
        <IconButton label="Close the list" class="close-drawer" onClick={closeDrawer}>
          <Cross />
        </IconButton>
      </div>
      <button type="button" class="new-thread" data-testid="new-thread" onClick={startNew}>
        <Plus />
        New thread
      </button>
    </div>
  );
}

export function startNew(): void {
  drawerOpen.value = false;
  goTo(null);
  focusComposer();
}

function ThreadList() {
  const list = threads.value;
  if (!list) return null;
  if (!list.length) return <p class="no-threads">Your threads will be listed here.</p>;
  return (
    <>
      <ul class="thread-list">
        {list.map((thread, index) => (
          <Entry key={thread.id} thread={thread} before={list[index - 1]} />
        ))}
      </ul>
      {moreThreads.value && (
        <button type="button" class="quiet-button" data-testid="more-threads" onClick={() => void orSay(loadMoreThreads())}>
          Show earlier threads
        </button>
      )}
    </>
  );
}

function Entry({ thread, before }: { thread: Thread; before: Thread | undefined }) {
  const era = eraOf(thread.updated_at, now.value);
  const begins = !before || eraOf(before.updated_at, now.value) !== era;
  return (
    <>
      {begins && <li class="era">{era}</li>}
      <ThreadItem thread={thread} />
    </>
  );
}
