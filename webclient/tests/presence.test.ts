// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import * as client from "../src/client";
import { companyIn, initialsOf, typingIn } from "../src/presence";
import { stopTyping, typedIn } from "../src/typing";

const here = (session: string, id: string, typing = false) => ({ session, id, name: `Name of ${id}`, typing });

describe("who is there", () => {
  test("leaves out this page, and puts the windows of one person together", () => {
    const all = [here("s1", "me"), here("s2", "ada"), here("s3", "ada", true), here("s4", "me")];
    expect(companyIn(all, 4, "s1", "me").people).toEqual([
      { id: "ada", name: "Name of ada", typing: true, windows: 2, self: false },
      { id: "me", name: "Name of me", typing: false, windows: 1, self: true },
    ]);
  });

  test("counts those who are not named", () => {
    expect(companyIn([here("s1", "me"), here("s2", "ada")], 250, "s1", "me").unseen).toBe(248);
  });

  test.each([["Ada Lovelace", "AL"], ["ada", "AD"], ["  ", "?"], ["Émile de la Tour", "ÉT"], ["x@example.org", "XO"]])(
    "%j stands as %s where there is no room",
    (name, letters) => expect(initialsOf(name)).toBe(letters),
  );

  test("says who is typing", () => {
    const typing = (...ids: string[]) => typingIn(companyIn(ids.map((id) => here(id, id, true)), ids.length, "s", "me"));
    expect(typing()).toBeNull();
    expect(typing("ada")).toBe("Name of ada is typing");
    expect(typing("ada", "me")).toBe("Name of ada and Another window are typing");
    expect(typing("ada", "bob", "eve")).toBe("3 others are typing");
  });
});

describe("own typing", () => {
  const call = vi.spyOn(client, "call").mockResolvedValue({} as never);
  const said = () => call.mock.calls.map(([, fields]) => (fields as { typing: boolean }).typing);

  beforeEach(() => {
    vi.useFakeTimers();
    call.mockClear();
    client.status.value = { kind: "open" };
  });

  afterEach(() => {
    stopTyping();
    vi.useRealTimers();
  });

  test("is said at once, again every three seconds, and taken back after a pause", () => {
    for (let ms = 0; ms < 6_500; ms += 100) {
      typedIn("t", "Hello");
      vi.advanceTimersByTime(100);
    }
    expect(said()).toEqual([true, true, true]);
    vi.advanceTimersByTime(4_000);
    expect(said()).toEqual([true, true, true, false]);
  });

  test("is over once the message is sent or its box is empty", () => {
    typedIn("t", "H");
    typedIn("t", "");
    expect(said()).toEqual([true, false]);
    typedIn("t", "H");
    stopTyping();
    stopTyping();
    expect(said()).toEqual([true, false, true, false]);
  });

  test("is nobody's business on the page of a new thread", () => {
    typedIn(null, "Hello");
    expect(call).not.toHaveBeenCalled();
  });
});
