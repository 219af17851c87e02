// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import * as client from "../src/client";
import { setReadAhead, typed } from "../src/read-ahead";
import { keep } from "../src/unsent";

describe("reading ahead", () => {
  const call = vi.spyOn(client, "call").mockResolvedValue({} as never);

  beforeEach(() => {
    vi.useFakeTimers();
    call.mockClear();
    client.status.value = { kind: "open" };
  });

  afterEach(() => {
    vi.runAllTimers();
    vi.useRealTimers();
  });

  const type = (text: string) => {
    keep("t", text);
    typed("t");
  };

  test("sends nothing before somebody has switched it on", () => {
    type("Hello");
    vi.runAllTimers();
    expect(call).not.toHaveBeenCalled();
  });

  test("sends what stands there by then, once however fast it was typed", () => {
    setReadAhead(true);
    for (const text of ["H", "He", "Hello"]) type(text);
    vi.runAllTimers();
    expect(call.mock.calls).toEqual([["draft", { thread: "t", text: "Hello" }]]);
  });

  test("sends nothing where the text was sent meanwhile, or the connection is gone", () => {
    setReadAhead(true);
    type("Hello");
    keep("t", "");
    vi.runAllTimers();
    type("Hello");
    client.status.value = { kind: "lost", again: null };
    vi.runAllTimers();
    expect(call).not.toHaveBeenCalled();
  });
});
