import { move } from "../actions";
import { readAhead, setReadAhead } from "../read-ahead";
import { rightOn } from "../rights";
import { isUnfinished } from "../thread";
import { orSay } from "../toast";
import type { Thread } from "../wire";

/** The operator's end of the corner: where the context shall be, and whether the model may read along. */
export function ContextTools({ thread }: { thread: Thread }) {
  const live = thread.residency === "live";
  const right = rightOn(thread);
  const resting = right === "own" && !thread.messages.some(isUnfinished);
  return (
    <span class="context-tools">
      {resting && !live && thread.messages.length > 0 && (
        <button type="button" data-testid="warm" title="Make the context live now" onClick={() => void orSay(move("warm"))}>
          warm
        </button>
      )}
      {resting && (live || thread.residency === "ram") && (
        <button type="button" data-testid="evict" title="Put the context on disk now" onClick={() => void orSay(move("evict"))}>
          evict
        </button>
      )}
      {right !== "read" && (
        <label title="The model reads your message before you send it; nobody else sees it">
          <input
            type="checkbox"
            data-testid="read-ahead"
            checked={readAhead.value}
            onChange={(event) => setReadAhead(event.currentTarget.checked)}
          />
          read ahead while I type
        </label>
      )}
    </span>
  );
}
