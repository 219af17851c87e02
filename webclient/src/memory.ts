/** What this browser remembers. Storage may be full or forbidden; then nothing is, and nothing breaks. */

const PREFIX = "livethread.";

/** How long something is remembered: `forGood`, or for the life of this one tab. */
export type Shelf = () => Storage;
export const forGood: Shelf = () => localStorage;
export const inThisTab: Shelf = () => sessionStorage;

export function recall(key: string, shelf: Shelf = forGood): string | null {
  try {
    return shelf().getItem(PREFIX + key);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string | null, shelf: Shelf = forGood): void {
  try {
    if (value === null || value === "") shelf().removeItem(PREFIX + key);
    else shelf().setItem(PREFIX + key, value);
  } catch {
    return;
  }
}

/** Forget everything whose key begins like this. */
export function forgetAll(beginning: string, shelf: Shelf = forGood): void {
  try {
    const keys = Object.keys(shelf()).filter((key) => key.startsWith(PREFIX + beginning));
    for (const key of keys) shelf().removeItem(key);
  } catch {
    return;
  }
}
