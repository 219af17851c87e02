const FIRST_MS = 250;
const LONGEST_MS = 30_000;

/** How long to wait before try number `attempt` (from 0): exponential, with full jitter. */
export function backoff(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** attempt);
  return Math.floor(random() * ceiling);
}
