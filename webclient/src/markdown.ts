import DOMPurify from "dompurify";
import { Marked, type RendererObject, type Token } from "marked";

/**
 * Markdown that nobody vouches for, as DOM that cannot do harm: no HTML of its own, no styles, no scripts, no
 * images, links only to places that say where they go. The page's policy stands behind it as a second wall.
 */

const SAFE_LINK = /^(?:https?:|mailto:)/i;

const renderer: RendererObject = {
  heading({ tokens, depth }) {
    // The page and its messages have headings already; a reply's headings are below them.
    const level = Math.min(6, depth + 2);
    return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
  },
  code({ text, lang }) {
    const name = escapeHtml(lang?.split(/\s/)[0] ?? "");
    const head = `<div class="code-head"><span>${name || "text"}</span><button type="button" class="code-copy">Copy</button></div>`;
    return `<div class="code">${head}<pre tabindex="0"><code>${escapeHtml(text)}\n</code></pre></div>`;
  },
  table(token) {
    const row = (cells: string) => `<tr>${cells}</tr>`;
    const head = row(token.header.map((cell) => this.tablecell(cell)).join(""));
    const body = token.rows.map((cells) => row(cells.map((cell) => this.tablecell(cell)).join(""))).join("");
    return `<div class="table" tabindex="0"><table><thead>${head}</thead><tbody>${body}</tbody></table></div>`;
  },
  link({ href, title, tokens }) {
    const text = this.parser.parseInline(tokens);
    return SAFE_LINK.test(href) ? anchor(href, title, text) : text;
  },
  image({ href, title, text }) {
    const name = escapeHtml(text || "image");
    return SAFE_LINK.test(href) ? anchor(href, title, name) : name;
  },
};

export const marked = new Marked({
  gfm: true,
  renderer,
  // Without these two there is no HTML in Markdown: a tag is text and is shown as such.
  tokenizer: { html: () => undefined, tag: () => undefined },
});

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

const ALLOWED = {
  ALLOWED_TAGS: [
    "p", "br", "hr", "h3", "h4", "h5", "h6", "strong", "em", "del", "code", "pre", "blockquote", "ul", "ol", "li",
    "a", "table", "thead", "tbody", "tr", "th", "td", "div", "span", "button", "input",
  ],
  ALLOWED_ATTR: ["href", "title", "class", "start", "align", "type", "checked", "disabled", "tabindex"],
  ALLOWED_URI_REGEXP: SAFE_LINK,
  // Values of these are no addresses and need not look like one.
  ADD_URI_SAFE_ATTR: ["start", "align", "type", "checked", "disabled", "tabindex"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true as const,
};

/** One block of parsed Markdown as HTML; it is safe only after `toElement`. */
export function blockHtml(token: Token): string {
  return marked.parser([token]).trim();
}

/** A block's HTML as one element that is safe to show. */
export function toElement(html: string): Element {
  const fragment = DOMPurify.sanitize(html, ALLOWED);
  if (fragment.childElementCount === 1 && fragment.childNodes.length === 1) return fragment.firstElementChild!;
  const box = document.createElement("div");
  box.append(fragment);
  return box;
}

function anchor(href: string, title: string | null | undefined, text: string): string {
  const hint = title ? ` title="${escapeHtml(title)}"` : "";
  return `<a href="${escapeHtml(href)}"${hint}>${text}</a>`;
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
