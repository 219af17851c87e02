/** A fresh id for a thread, run, message or key: 128 random bits, in the letters the wire allows. */
export function mintId(): string {
  // Not crypto.randomUUID: it is missing where the page comes over plain HTTP from another machine.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
