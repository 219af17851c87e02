import { signal } from "@preact/signals";

/** What is unfolded on the page. Nothing of this leaves the tab. */

export const drawerOpen = signal(false);
export const settingsOpen = signal(false);
export const switcherOpen = signal(false);
/** The dialog that gives others a part in the open thread. */
export const sharing = signal(false);

/** Grows with every turn a reader asks for here: who asks wants to see the answer. */
export const turns = signal(0);

/** The message whose text is being edited. */
export const editing = signal<string | null>(null);
