import type { Thread, Told } from "./wire";

/**
 * A list of threads, newest change first, after what those who watch are told.
 *
 * With `more` the list ends before the server's does: a thread that belongs behind its last one is left out.
 */
export function afterTold(list: Thread[], more: boolean, event: Told): Thread[] {
  if (event.type === "thread.deleted") return list.filter(({ id }) => id !== event.thread);
  const { summary } = event;
  const known = list.find(({ id }) => id === summary.id);
  if (known && isOlder(summary, known)) return list;
  const others = list.filter((thread) => thread !== known);
  const at = others.findIndex((thread) => isBefore(summary, thread));
  if (at >= 0) return others.toSpliced(at, 0, summary);
  return known || !more ? [...others, summary] : list;
}

/** A page that was read meanwhile may hold a thread as it became later. */
function isOlder(summary: Thread, known: Thread): boolean {
  return summary.epoch === known.epoch && summary.version < known.version;
}

/** The order of `thread.list`: by the time of the last change, then by id, both downwards. */
function isBefore(a: Thread, b: Thread): boolean {
  return a.updated_at === b.updated_at ? a.id > b.id : a.updated_at > b.updated_at;
}
