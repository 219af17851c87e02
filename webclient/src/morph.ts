/**
 * Make `from` look like `to` with as few changes as possible. Text that only grew is appended to, so that a
 * selection in it, the focus and the scroll position of a code block stay.
 */
export function morph(from: Node, to: Node): void {
  if (from.nodeName !== to.nodeName) {
    (from as ChildNode).replaceWith(to);
    return;
  }
  if (from instanceof Text && to instanceof Text) return morphText(from, to.data);
  if (from instanceof Element && to instanceof Element) morphAttributes(from, to);
  morphChildren(from, to);
}

function morphText(from: Text, data: string): void {
  if (from.data === data) return;
  if (data.startsWith(from.data)) from.appendData(data.slice(from.length));
  else from.data = data;
}

function morphAttributes(from: Element, to: Element): void {
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name)) from.removeAttribute(name);
  }
}

function morphChildren(from: Node, to: Node): void {
  const old = [...from.childNodes];
  const next = [...to.childNodes];
  next.forEach((child, index) => {
    const existing = old[index];
    if (existing) morph(existing, child);
    else from.appendChild(child);
  });
  for (const child of old.slice(next.length)) child.remove();
}
