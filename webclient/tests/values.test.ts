import { describe, expect, test } from "vitest";
import { backoff } from "../src/backoff";
import { figuresOf, placesOf } from "../src/figures";
import { mintId } from "../src/ids";
import { fromBoxes, problemsIn, toBoxes } from "../src/sampling";
import { titleFrom } from "../src/title";
import { message, view } from "./build";

describe("sampling", () => {
  test("goes into boxes and comes back the same", () => {
    const sampling = { temperature: 0, top_k: 40, stop: ["\n\n", "a\\nb", "\tEnd"], grammar: "root ::= x" };
    expect(fromBoxes(toBoxes(sampling), sampling)).toEqual(sampling);
  });

  test("an emptied box clears its field, one that was always empty is not sent", () => {
    const boxes = { ...toBoxes({ seed: 7, stop: ["x"] }), seed: "", stop: "" };
    expect(fromBoxes(boxes, { seed: 7, stop: ["x"] })).toEqual({ seed: null, stop: null });
    expect(fromBoxes(toBoxes({}), {})).toEqual({});
  });

  test.each([
    ["temperature", "warm"], ["temperature", "-1"], ["top_p", "1.1"], ["min_p", "-0.1"], ["top_k", "1.5"],
    ["max_tokens", "0"], ["seed", "4294967295"], ["seed", "-1"], ["temperature", "Infinity"],
  ] as const)("%s %s is refused before it is sent", (field, text) => {
    expect(Object.keys(problemsIn({ ...toBoxes({}), [field]: text }))).toEqual([field]);
  });

  test("seventeen stop strings are too many", () => {
    expect(problemsIn({ ...toBoxes({}), stop: "x\n".repeat(17) }).stop).toBeDefined();
    expect(problemsIn({ ...toBoxes({}), stop: "x\n".repeat(16) })).toEqual({});
  });
});

describe("a title", () => {
  test("is the first line with words, without its marks", () => {
    expect(titleFrom("\n\n## Why   *so*?\nmore")).toBe("Why *so*?");
  });

  test("is cut at a word", () => {
    const title = titleFrom("word ".repeat(40));
    expect(title.length).toBeLessThanOrEqual(65);
    expect(title).toMatch(/word…$/);
  });
});

describe("figures", () => {
  const usage = { prompt_tokens: 100, completion_tokens: 21, reused_tokens: 90 };
  const timings = { queue_ms: 0, prompt_ms: 1, first_token_ms: 1, generate_ms: 500 };

  test("come from the last reply that has some", () => {
    const replies = [message("a", { role: "assistant", usage, timings }), message("b")];
    expect(figuresOf(view(replies))).toEqual({ reused: 90, prompt: 100, speed: 40 });
  });

  test("say where reused tokens came from, most first, where that was seen", () => {
    const seen = { ...view([message("a", { role: "assistant", usage, timings })]), sources: { a: { live: 3, ram: 0, disk: 87 } } };
    expect(placesOf(figuresOf(seen).sources)).toBe("from disk and live memory");
    expect(placesOf({ live: 0, ram: 4, disk: 0 })).toBe("from RAM");
    expect(placesOf({ live: 0, ram: 0, disk: 0 })).toBeNull();
    expect(placesOf(figuresOf(view([message("a")])).sources)).toBeNull();
  });

  test("are nothing where nothing was measured", () => {
    expect(figuresOf(view([message("a")])).speed).toBeNull();
    const stopped = message("a", { usage: { ...usage, completion_tokens: 1 }, timings });
    expect(figuresOf(view([stopped])).speed).toBeNull();
  });
});

test("the wait between tries grows, has an end, and is spread over the whole range", () => {
  expect(backoff(0, () => 0.999)).toBeLessThan(250);
  expect(backoff(3, () => 0.5)).toBe(1000);
  expect(backoff(50, () => 0.999)).toBeLessThanOrEqual(30_000);
  expect(backoff(5, () => 0)).toBe(0);
});

test("ids are such as the wire allows, and no two are the same", () => {
  const minted = new Set(Array.from({ length: 100 }, mintId));
  expect(minted.size).toBe(100);
  for (const id of minted) expect(id).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
});
