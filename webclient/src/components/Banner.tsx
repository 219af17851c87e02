import { useEffect, useState } from "preact/hooks";
import { connect, status } from "../client";
import type { Status } from "../connection";

/** A page that connects at once needs no banner for it. */
const PATIENCE_MS = 1_200;

export function Banner() {
  const { kind } = status.value;
  const [late, setLate] = useState(false);
  useEffect(() => {
    setLate(false);
    if (kind !== "connecting") return;
    const timer = setTimeout(() => setLate(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [kind]);
  const shown = kind === "lost" || kind === "refused" || (kind === "connecting" && late);
  return (
    <div class="banner-place" role="status">
      {shown && (
        <div class="banner" data-testid="banner" data-kind={kind}>
          <span class="banner-dot" />
          <p>{sentence(status.value)}</p>
          <button type="button" onClick={connect}>
            {kind === "refused" ? "Connect again" : "Try now"}
          </button>
        </div>
      )}
    </div>
  );
}

function sentence(now: Status): string {
  if (now.kind === "connecting") return "Connecting to the server…";
  if (now.kind !== "refused") return "No connection to the server. Trying again; what you type is kept.";
  const why = now.reason ? `: ${now.reason.replace(/\.$/, "")}` : "";
  return `The server ended this session and asked this page not to come back (${now.code}${why}).`;
}
