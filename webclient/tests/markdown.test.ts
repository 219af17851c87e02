// @vitest-environment jsdom
import { describe, expect, test } from "vitest";
import { Blocks } from "../src/blocks";
import { toElement } from "../src/markdown";
import { MarkdownBody } from "../src/markdown-body";
import { morph } from "../src/morph";

function shown(source: string): HTMLElement {
  const element = document.createElement("div");
  new MarkdownBody(element).show(source, true);
  return element;
}

const SAMPLE = [
  "# Title\n\nSome *text* with `code`.\n\n",
  "1. one\n\n2. two\n   - deep\n\n- other\n-\n\npara | graph\n---|---\na | b\n\n",
  "```py\nx = 1\n\ny = 2\n```\nafter\n---\n\n> quote\nlazy\n\n    indented\n\n* a\n* b\n\n",
  "[ref]: https://example.org\n\nSee [ref] and https://example.com\n",
].join("");

describe("what nobody vouches for", () => {
  test.each([
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "text <b onclick=alert(1)>bold</b> <style>*{}</style>",
    "<svg><script>alert(1)</script></svg>",
    "<iframe src='javascript:alert(1)'></iframe>",
  ])("%s is shown as text", (source) => {
    const element = shown(source);
    expect(element.querySelector("script, img, b, style, svg, iframe, [onclick], [onerror]")).toBeNull();
    expect(element.textContent).toContain(source.replace("text ", "").slice(0, 5));
  });

  test.each(["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc", "/relative"])(
    "a link to %s is no link",
    (href) => {
      const element = shown(`[here](${href}) ![pic](${href})`);
      expect(element.querySelector("a, img")).toBeNull();
      expect(element.textContent).toContain("here pic");
    },
  );

  test("links leave the page and do not tell where from", () => {
    const link = shown("[x](https://example.org \"hint\") <mailto:a@b.de>").querySelectorAll("a");
    expect(link).toHaveLength(2);
    expect(link[0]?.target).toBe("_blank");
    expect(link[0]?.rel).toBe("noopener noreferrer nofollow");
  });

  test("pictures become links to them", () => {
    const element = shown("![a cat](https://example.org/cat.png)");
    expect(element.querySelector("img")).toBeNull();
    expect(element.querySelector("a")?.textContent).toBe("a cat");
  });

  test("attributes cannot be broken out of", () => {
    const element = shown('[x](https://a.b/"onmouseover="alert(1) "t\\"onclick=\\"x")');
    for (const node of element.querySelectorAll("*")) {
      expect([...node.attributes].filter(({ name }) => name.startsWith("on"))).toEqual([]);
    }
  });

  test("the sanitiser stands alone, should the parser let something through", () => {
    const element = toElement('<p style="color:red" onclick="x()"><img src=x><script>1</script><a href="javascript:x">y</a></p>');
    expect(element.outerHTML).toBe('<p><a target="_blank" rel="noopener noreferrer nofollow">y</a></p>');
  });
});

describe("text that grows", () => {
  test("ends as the same blocks as text that came at once, at any pace", () => {
    const whole = new Blocks().update(SAMPLE, true);
    for (const step of [1, 3, 7, 50]) {
      const blocks = new Blocks();
      for (let end = step; end < SAMPLE.length; end += step) blocks.update(SAMPLE.slice(0, end), false);
      expect(blocks.update(SAMPLE, false)).toEqual(whole);
      expect(blocks.update(SAMPLE, true)).toEqual(whole);
    }
  });

  test("is read anew only at its end", () => {
    const blocks = new Blocks();
    const paragraphs = Array.from({ length: 50 }, (_, n) => `Paragraph ${n} with *some* text.\n\n`);
    let source = "";
    for (const paragraph of paragraphs) blocks.update((source += paragraph), false);
    expect(blocks["source"].length - blocks["settledTo"]).toBeLessThan(200);
    expect(blocks.update(source, false)).toEqual(new Blocks().update(source, true));
  });

  test("does not split a loose list whose next number is half written", () => {
    const blocks = new Blocks();
    const source = "1. a\n\n2. b\n\n3. c\n";
    for (let end = 1; end <= source.length; end++) blocks.update(source.slice(0, end), false);
    expect(blocks.update(source, false)).toHaveLength(1);
  });

  test("may be replaced by another text", () => {
    const blocks = new Blocks();
    blocks.update("one\n\ntwo\n\nthree", false);
    expect(blocks.update("other", false)).toEqual(["<p>other</p>"]);
  });

  test("keeps the elements of what is settled and the text nodes of what grows", () => {
    const element = document.createElement("div");
    const body = new MarkdownBody(element);
    body.show("First.\n\nSec", false);
    body["notBefore"] = 0;
    const [first, second] = element.children;
    const text = second?.firstChild;
    body.show("First.\n\nSecond *one*", false);
    expect(element.children[0]).toBe(first);
    expect(element.children[1]?.firstChild).toBe(text);
    expect(element.innerHTML).toBe("<p>First.</p><p>Second <em>one</em></p>");
  });
});

test("morph makes one tree like another", () => {
  const from = document.createElement("div");
  from.innerHTML = '<p class="a">text <b>bold</b> tail</p><ul><li>1</li></ul>';
  const to = document.createElement("div");
  to.innerHTML = '<p title="t">text more</p><ol start="3"><li>1</li><li>2</li></ol><hr>';
  const wanted = to.innerHTML;
  morph(from, to);
  expect(from.innerHTML).toBe(wanted);
});
