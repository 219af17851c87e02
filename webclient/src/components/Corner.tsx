import { figuresOf, placesOf } from "../figures";
import { openThread } from "../open-thread";
import { isUnfinished, runOf, type ThreadView } from "../thread";
import { ContextTools } from "./ContextTools";
import { ResidencyDot } from "./ResidencyDot";

/** The quiet corner: where the thread's memory is, how much of it was reused, how fast the last run went. */
export function Corner() {
  const view = openThread.value;
  if (!view) return <p class="corner" />;
  const { reused, prompt, speed, sources } = figuresOf(view);
  const { residency } = view.thread;
  const doing = doingOf(view);
  return (
    <p class="corner">
      <span data-testid="residency" data-residency={residency}>
        <ResidencyDot residency={residency} />
        {residency}
      </span>
      {doing && <span data-testid="doing">{doing}</span>}
      {!doing && prompt !== null && (
        <span data-testid="reused" title="Tokens of the last prompt that the model did not have to read again">
          {count(reused)} of {count(prompt)} tokens reused
        </span>
      )}
      {!doing && placesOf(sources) && (
        <span data-testid="sources" title="Where the reused tokens came from">
          {placesOf(sources)}
        </span>
      )}
      {!doing && speed !== null && (
        <span data-testid="speed" title="Speed of the last reply">
          {speed.toFixed(1)} tok/s
        </span>
      )}
      <ContextTools thread={view.thread} />
    </p>
  );
}

function doingOf(view: ThreadView): string | null {
  const unfinished = view.thread.messages.filter(isUnfinished);
  const message = unfinished.find(({ state }) => state === "streaming") ?? unfinished[0];
  if (!message) return null;
  const run = runOf(view, message);
  if (message.state === "queued") return run?.position ? `queued behind ${run.position}` : "queued";
  if (run?.text) return null;
  const progress = run?.progress;
  return progress ? `reading ${Math.floor((100 * progress.done) / Math.max(1, progress.total))} %` : "reading";
}

function count(tokens: number | null): string {
  return (tokens ?? 0).toLocaleString("en");
}
