import { Lexer, type Token, type Tokens, type TokensList } from "marked";
import { blockHtml, marked } from "./markdown";

/**
 * The blocks of a Markdown text that grows at its end, as HTML.
 *
 * Only what can still change is read again: a block is settled once a later block has begun with a whole
 * line. So a long reply costs its length, not the square of it.
 */
export class Blocks {
  private source = "";
  private settled: string[] = [];
  private settledTo = 0;
  private links: TokensList["links"] = {};

  /** The blocks of `source`. With `whole`, everything is read anew: links may be defined below their use. */
  update(source: string, whole: boolean): string[] {
    const text = source.includes("\r") ? source.replace(/\r\n|\r/g, "\n") : source;
    if (whole || !text.startsWith(this.source)) this.reset();
    this.source = text;
    const tokens = this.lex(text.slice(this.settledTo));
    const html = tokens.map(htmlOf);
    const blocks = [...this.settled, ...html.filter(Boolean)];
    this.settle(tokens, html);
    return blocks;
  }

  private reset(): void {
    this.settled = [];
    this.settledTo = 0;
    this.links = {};
  }

  private lex(tail: string): Token[] {
    const lexer = new Lexer(marked.defaults);
    Object.assign(lexer.tokens.links, this.links);
    return lexer.lex(tail);
  }

  private settle(tokens: Token[], html: string[]): void {
    const lines = this.source.lastIndexOf("\n") + 1;
    let at = this.settledTo;
    let count = 0;
    let end = at;
    tokens.forEach((token, index) => {
      if (index && token.type !== "space" && this.firstLineEnd(at) <= lines) [count, end] = [index, at];
      at += token.raw.length;
    });
    // Where the pieces do not add up, the cut would be at a wrong place.
    if (at !== this.source.length) return;
    this.settled.push(...html.slice(0, count).filter(Boolean));
    this.settledTo = end;
    tokens.slice(0, count).forEach((token) => this.define(token));
  }

  /** Remember where a named link leads, but not before its definition is whole. */
  private define(token: Token): void {
    if (token.type !== "def") return;
    const { tag, href, title } = token as Tokens.Def;
    this.links[tag] ??= { href, title };
  }

  private firstLineEnd(at: number): number {
    const newline = this.source.indexOf("\n", at);
    return newline < 0 ? Infinity : newline + 1;
  }
}

function htmlOf(token: Token): string {
  return token.type === "space" || token.type === "def" ? "" : blockHtml(token);
}
