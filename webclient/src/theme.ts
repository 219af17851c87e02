import { effect, signal } from "@preact/signals";
import { recall, remember } from "./memory";

export type Theme = "light" | "dark";

const KEY = "theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const chosen = signal<Theme | null>(asTheme(recall(KEY)));
const preferred = signal<Theme>(system.matches ? "dark" : "light");

export function theme(): Theme {
  return chosen.value ?? preferred.value;
}

export function toggleTheme(): void {
  chosen.value = theme() === "dark" ? "light" : "dark";
  remember(KEY, chosen.value);
}

system.addEventListener("change", () => {
  preferred.value = system.matches ? "dark" : "light";
});

effect(() => {
  document.documentElement.dataset["theme"] = theme();
});

function asTheme(text: string | null): Theme | null {
  return text === "light" || text === "dark" ? text : null;
}
