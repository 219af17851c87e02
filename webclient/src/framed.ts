import { signal } from "@preact/signals";

/** Text that comes in at a reader's pace looks smooth at this rate, and leaves the processor to the model. */
const EVERY_MS = 50;

/**
 * A value that may change more often than it is worth showing. `latest` is always current; `shown` follows at
 * once for `show`, and with one of the next frames for `showSoon`.
 */
export class Framed<T> {
  readonly shown;
  private awaited = false;
  private drawnAt = 0;

  constructor(public latest: T) {
    this.shown = signal(latest);
  }

  show(value: T): void {
    this.latest = value;
    this.shown.value = value;
  }

  showSoon(value: T): void {
    this.latest = value;
    if (this.awaited) return;
    this.awaited = true;
    const wait = Math.max(0, this.drawnAt + EVERY_MS - performance.now());
    setTimeout(() => nextFrame(() => this.draw()), wait);
  }

  private draw(): void {
    this.awaited = false;
    this.drawnAt = performance.now();
    this.shown.value = this.latest;
  }
}

/** A hidden tab has no frames. */
function nextFrame(draw: () => void): void {
  if (document.hidden) setTimeout(draw);
  else requestAnimationFrame(draw);
}
