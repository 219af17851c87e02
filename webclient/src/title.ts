import type { Thread } from "./wire";

const LONGEST = 64;

/** A title for a thread from its first message: its first line with words, cut at a word. */
export function titleFrom(text: string): string {
  const line = text.split("\n").map(plain).find(Boolean) ?? "";
  if (line.length <= LONGEST) return line;
  const cut = line.slice(0, LONGEST);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(" "), LONGEST / 2)).trimEnd()}…`;
}

export function titleOf(thread: Thread): string {
  return thread.title || "Untitled";
}

function plain(line: string): string {
  return line.replace(/^[#>\s*`-]+/, "").replace(/\s+/g, " ").trim();
}
