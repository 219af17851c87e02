import type { Residency } from "../wire";

const MEANING: Record<Residency, string> = {
  live: "live: the model has this thread in its memory",
  ram: "ram: set aside in memory, back in an instant",
  disk: "disk: stored, back in milliseconds",
  cold: "cold: the next reply reads the thread anew",
};

export function ResidencyDot({ residency }: { residency: Residency }) {
  return <span class="residency-dot" data-residency={residency} title={MEANING[residency]} aria-hidden="true" />;
}
