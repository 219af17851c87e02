import { signal } from "@preact/signals";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The present, to the minute. */
export const now = signal(Date.now());

setInterval(() => {
  now.value = Date.now();
}, MINUTE);

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** How long ago, in as few letters as a narrow list has room for. */
export function ago(time: string, at: number): string {
  const past = at - Date.parse(time);
  if (past < MINUTE) return "now";
  if (past < HOUR) return `${Math.floor(past / MINUTE)}m`;
  if (past < DAY) return `${Math.floor(past / HOUR)}h`;
  return past < 6 * DAY ? weekday.format(Date.parse(time)) : day.format(Date.parse(time));
}

export function clockOf(time: string): string {
  return clock.format(Date.parse(time));
}

export function wholeTime(time: string): string {
  return whole.format(Date.parse(time));
}

export type Era = "Today" | "Yesterday" | "Last seven days" | "Earlier";

export function eraOf(time: string, at: number): Era {
  const midnight = new Date(at).setHours(0, 0, 0, 0);
  const then = Date.parse(time);
  if (then >= midnight) return "Today";
  if (then >= midnight - DAY) return "Yesterday";
  return then >= midnight - 7 * DAY ? "Last seven days" : "Earlier";
}
