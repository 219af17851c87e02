import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { askedIn, signIn, status } from "../client";
import { Mark } from "./icons";
import { StateLine } from "./StateLine";

/** What stands in the place of the page until the server knows who comes. */
export function SignIn() {
  const [text, setText] = useState("");
  const box = useRef<HTMLInputElement>(null);
  const { kind } = status.value;
  const busy = kind === "connecting";
  useLayoutEffect(() => box.current?.focus(), []);
  const submit = () => {
    const shown = text.trim();
    if (shown && !busy) signIn(shown);
  };
  return (
    <main class="sign-in">
      {kind !== "refused" && <StateLine />}
      <form
        class="sign-in-form"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <p class="brand">
          <Mark />
          <span>livethread</span>
        </p>
        <h1>Sign in</h1>
        <p class="sign-in-about">This server lets in who brings a token. Whoever runs it can give you one.</p>
        <div class="field" data-wrong={Boolean(askedIn.value?.why)}>
          <label class="field-label" for="token">
            Token
          </label>
          <input
            ref={box}
            id="token"
            type="password"
            autocomplete="off"
            spellcheck={false}
            data-testid="token"
            aria-describedby="token-about"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <p id="token-about" class={askedIn.value?.why ? "problem" : "hint"} role="alert" data-testid="sign-in-about">
            {askedIn.value?.why ?? "It is kept until you close this tab."}
          </p>
        </div>
        <button type="submit" class="button strong" data-testid="sign-in" disabled={!text.trim() || busy}>
          {busy ? "Signing in…" : "Sign in"}
        </button>
      </form>
    </main>
  );
}
