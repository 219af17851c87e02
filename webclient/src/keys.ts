import { cancel, currentRun } from "./actions";
import { openThread } from "./open-thread";
import { orSay } from "./toast";
import { drawerOpen, switcherOpen } from "./view";

/** Keys that work wherever the focus is. */
export function listenToKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (isSwitch(event)) {
      event.preventDefault();
      switcherOpen.value = !switcherOpen.value;
    } else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
      escape();
    }
  });
}

function isSwitch({ key, ctrlKey, metaKey }: KeyboardEvent): boolean {
  return key.toLowerCase() === "k" && (ctrlKey || metaKey);
}

/** Esc closes what lies on top; where nothing does, it stops the reply. */
function escape(): void {
  if (drawerOpen.peek()) {
    drawerOpen.value = false;
    return;
  }
  const run = currentRun(openThread.peek()?.thread.messages ?? []);
  if (run) void orSay(cancel(run));
}
