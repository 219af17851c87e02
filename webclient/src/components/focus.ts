/** Put the cursor where the next message is written, once the page shows what was asked for. */
export function focusComposer(): void {
  focusSoon("[data-testid=composer]");
}

/** Put the focus back on the button that opened a message's edit box. */
export function focusEdit(message: string): void {
  focusSoon(`[data-message-id="${message}"] [data-testid=message-edit]`);
}

function focusSoon(selector: string): void {
  setTimeout(() => document.querySelector<HTMLElement>(selector)?.focus(), 50);
}
