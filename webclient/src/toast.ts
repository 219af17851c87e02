import { signal } from "@preact/signals";
import { sentenceOf } from "./errors";

export interface Toast {
  id: number;
  text: string;
}

const STAYS_MS = 9_000;

export const toasts = signal<Toast[]>([]);

let lastId = 0;

export function say(text: string): void {
  const id = ++lastId;
  toasts.value = [...toasts.value.filter((toast) => toast.text !== text), { id, text }].slice(-3);
  setTimeout(() => dismiss(id), STAYS_MS);
}

export function dismiss(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** Wait for something a reader asked for; what goes wrong is said, and answered with null. */
export async function orSay<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await asked;
  } catch (error) {
    say(sentenceOf(error));
    return null;
  }
}
