import { signal } from "@preact/signals";

/**
 * A value that may change more often than a screen can show. `latest` is always current; `shown` follows at
 * once for `show`, and with the next frame for `showSoon`.
 */
export class Framed<T> {
  readonly shown;
  private awaited = false;

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
    nextFrame(() => {
      this.awaited = false;
      this.shown.value = this.latest;
    });
  }
}

/** A hidden tab has no frames. */
function nextFrame(draw: () => void): void {
  if (document.hidden) setTimeout(draw, 100);
  else requestAnimationFrame(draw);
}
