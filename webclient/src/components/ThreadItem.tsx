import { useState } from "preact/hooks";
import { deleteThread, rename } from "../actions";
import { isOwn, rightOn } from "../rights";
import { addressOf, route } from "../route";
import { ago, now, wholeTime } from "../time";
import { titleOf } from "../title";
import { orSay } from "../toast";
import { drawerOpen } from "../view";
import type { Thread } from "../wire";
import { Confirm } from "./Confirm";
import { Bin, Fork, Pencil, People } from "./icons";
import { IconButton } from "./IconButton";
import { ResidencyDot } from "./ResidencyDot";
import { TitleEdit } from "./TitleEdit";

export function ThreadItem({ thread }: { thread: Thread }) {
  const [mode, setMode] = useState<"shown" | "renamed" | "deleted">("shown");
  const leave = () => setMode("shown");
  return (
    <li class="thread-item" data-testid="thread-item" data-thread-id={thread.id} data-open={route.value === thread.id}>
      {mode === "renamed" ? (
        <TitleEdit
          title={thread.title ?? ""}
          label="Title of the thread"
          onDone={(title) => void orSay(rename(thread.id, title))}
          onLeave={leave}
        />
      ) : (
        <ThreadLink thread={thread} onRename={() => setMode("renamed")} />
      )}
      {rightOn(thread) === "own" && (
        <div class="thread-tools">
          <IconButton label={`Rename ${titleOf(thread)}`} testId="rename-thread" onClick={() => setMode("renamed")}>
            <Pencil />
          </IconButton>
          <IconButton label={`Delete ${titleOf(thread)}`} testId="delete-thread" onClick={() => setMode("deleted")}>
            <Bin />
          </IconButton>
        </div>
      )}
      {mode === "deleted" && (
        <Confirm
          question="Delete this thread?"
          detail={`“${titleOf(thread)}” and all its messages will be gone for everyone.`}
          yes="Delete"
          onYes={() => {
            leave();
            void orSay(deleteThread(thread));
          }}
          onNo={leave}
        />
      )}
    </li>
  );
}

function ThreadLink({ thread, onRename }: { thread: Thread; onRename: () => void }) {
  return (
    <a
      class="thread-link"
      href={addressOf(thread.id)}
      aria-current={route.value === thread.id ? "page" : undefined}
      onClick={() => {
        drawerOpen.value = false;
      }}
      onKeyDown={(event) => {
        if (event.key === "F2" && rightOn(thread) === "own") onRename();
      }}
    >
      <ResidencyDot residency={thread.residency} />
      <span class="thread-title">
        {thread.forked_from && <Fork />}
        {!isOwn(thread) && <People />}
        {titleOf(thread)}
      </span>
      <time dateTime={thread.updated_at} title={wholeTime(thread.updated_at)}>
        {ago(thread.updated_at, now.value)}
      </time>
    </a>
  );
}
