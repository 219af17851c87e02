import { useEffect, useState } from "preact/hooks";
import { createThread, rename } from "../actions";
import { openThread } from "../open-thread";
import { rightOn } from "../rights";
import { goTo, route } from "../route";
import { titleOf } from "../title";
import { orSay } from "../toast";
import { drawerOpen, settingsOpen, sharing } from "../view";
import type { Thread } from "../wire";
import { Menu, Share, Sliders } from "./icons";
import { IconButton } from "./IconButton";
import { People } from "./People";
import { TitleEdit } from "./TitleEdit";

export function Header() {
  const thread = openThread.value?.thread ?? null;
  const own = !thread || rightOn(thread) === "own";
  return (
    <header class="header">
      <IconButton label="Show threads" class="menu" testId="drawer-open" onClick={() => (drawerOpen.value = true)}>
        <Menu />
      </IconButton>
      {thread ? <Title key={thread.id} thread={thread} fixed={!own} /> : <h1 class="title">{route.value ? "" : "New thread"}</h1>}
      {thread && <People />}
      {thread && <span class="model">{thread.model}</span>}
      {thread && own && (
        <IconButton label="Share this thread" testId="share" onClick={() => (sharing.value = true)}>
          <Share />
        </IconButton>
      )}
      {own && (
        <IconButton label="Settings of this thread" testId="settings-open" onClick={() => void orSay(openSettings())}>
          <Sliders />
        </IconButton>
      )}
    </header>
  );
}

/** Settings belong to a thread, so the blank page needs one first. */
async function openSettings(): Promise<void> {
  if (!route.peek()) goTo(await createThread());
  settingsOpen.value = true;
}

function Title({ thread, fixed }: { thread: Thread; fixed: boolean }) {
  const [editing, setEditing] = useState(false);
  useEffect(() => {
    document.title = `${titleOf(thread)} · livethread`;
    return () => {
      document.title = "livethread";
    };
  }, [thread.title]);
  if (editing) {
    return (
      <TitleEdit
        title={thread.title ?? ""}
        label="Title of this thread"
        onDone={(title) => void orSay(rename(thread.id, title))}
        onLeave={() => setEditing(false)}
      />
    );
  }
  return (
    <h1 class="title">
      <button type="button" title={fixed ? undefined : "Rename"} data-testid="title" disabled={fixed} onClick={() => setEditing(true)}>
        {titleOf(thread)}
      </button>
    </h1>
  );
}
