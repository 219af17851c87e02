// @vitest-environment jsdom
import { afterEach, describe, expect, test, vi } from "vitest";
import * as client from "../src/client";
import { CommandError, CutError } from "../src/errors";
import { fragmentOf, invited, inviteIn, keepInvite, takeUp } from "../src/invite";

const INVITE = { thread: "t-1", token: "a/b+c=%" };
const call = vi.spyOn(client, "call");

afterEach(() => {
  call.mockReset();
  keepInvite(null);
});

describe("an invitation", () => {
  test("travels in a fragment and comes back the same", () => {
    expect(inviteIn(fragmentOf(INVITE))).toEqual(INVITE);
    expect(fragmentOf(INVITE)).toMatch(/^#/);
  });

  test.each(["", "#/", "#/t/x", "#/i/x", "#/i/x/", "#/i/a b/c", "#/i/../c"])("is not in %j", (hash) => {
    expect(inviteIn(hash)).toBeNull();
  });

  test("is taken up once, for its own thread", async () => {
    keepInvite(INVITE);
    call.mockResolvedValue({} as never);
    await takeUp("other");
    expect(call).not.toHaveBeenCalled();
    await expect(takeUp("t-1")).resolves.toBeNull();
    await takeUp("t-1");
    expect(call.mock.calls).toEqual([["thread.share", { thread: "t-1", invite: INVITE.token }]]);
    expect(sessionStorage).toHaveLength(0);
  });

  test("that is refused is forgotten, and says why", async () => {
    keepInvite(INVITE);
    call.mockRejectedValue(new CommandError({ code: "forbidden", message: "It has expired.", retryable: false, details: {} }));
    await expect(takeUp("t-1")).resolves.toMatchObject({ message: "It has expired." });
    expect(invited.value).toBeNull();
  });

  test("that was cut off is kept for the return", async () => {
    keepInvite(INVITE);
    call.mockRejectedValue(new CutError());
    await expect(takeUp("t-1")).rejects.toThrow(CutError);
    expect(invited.value).toEqual(INVITE);
  });
});
