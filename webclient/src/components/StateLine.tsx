import { useEffect, useState } from "preact/hooks";
import { connect, status } from "../client";
import type { Status } from "../connection";

/** A page that connects at once, or is back at once, needs no words for it. */
const PATIENCE_MS = { connecting: 1_200, lost: 600 };

/** How the connection is, where it is not as it should be. */
export function StateLine() {
  const { kind } = status.value;
  const shown = useLate(kind);
  return (
    <div class="state-place" role="status">
      {shown && (
        <div class="state-line" data-testid="banner" data-kind={kind}>
          <span class="state-dot" />
          <p>
            {sentenceOf(status.value)} <Countdown />
          </p>
          <button type="button" data-testid="retry" onClick={connect}>
            {kind === "refused" ? "Connect again" : "Retry now"}
          </button>
        </div>
      )}
    </div>
  );
}

/** Whether there is something to say, and it has been so for long enough. */
function useLate(kind: Status["kind"]): boolean {
  const patience = kind === "connecting" || kind === "lost" ? PATIENCE_MS[kind] : 0;
  const [late, setLate] = useState<Status["kind"] | null>(null);
  useEffect(() => {
    if (!patience) return setLate(null);
    const timer = setTimeout(() => setLate(kind), patience);
    return () => clearTimeout(timer);
  }, [kind]);
  return kind === "refused" || (kind !== "open" && late === kind);
}

/** The seconds to the next try. A screen reader is told the sentence once, and not each of them. */
function Countdown() {
  const now = status.value;
  const again = now.kind === "lost" ? now.again : null;
  const [left, setLeft] = useState(0);
  useEffect(() => {
    if (again === null) return;
    const count = () => setLeft(Math.max(1, Math.ceil((again - Date.now()) / 1_000)));
    count();
    const timer = setInterval(count, 250);
    return () => clearInterval(timer);
  }, [again]);
  if (now.kind !== "lost") return null;
  return <span aria-hidden="true">{again === null ? "Reconnecting…" : `Reconnecting in ${left} s.`}</span>;
}

function sentenceOf(now: Status): string {
  if (now.kind === "connecting") return "Connecting to the server…";
  if (now.kind === "lost") return navigator.onLine ? "Connection lost." : "This device is offline.";
  if (now.kind === "open") return "";
  const why = now.reason ? `: ${now.reason.replace(/\.$/, "")}` : "";
  return `The server ended this session and asked this page not to come back (${now.code}${why}).`;
}
