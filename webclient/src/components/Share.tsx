import { useState } from "preact/hooks";
import { copy } from "../copy";
import { sentenceOf } from "../errors";
import { type Invitation, inviteTo, ROLES, shareWith, takeBack, TERMS } from "../invitations";
import { openThread } from "../open-thread";
import { wholeTime } from "../time";
import { token } from "../token";
import { sharing } from "../view";
import type { ShareRole } from "../wire";
import { Dialog } from "./Dialog";
import { Cross } from "./icons";
import { IconButton } from "./IconButton";

export function Share() {
  const thread = openThread.value?.thread.id;
  return (
    <Dialog label="Share this thread" kind="share" onClose={close}>
      <div class="share-head">
        <h2>Share this thread</h2>
        <IconButton label="Close" testId="share-close" onClick={close}>
          <Cross />
        </IconButton>
      </div>
      {token.value === null && (
        <p class="share-note" data-testid="share-note">
          This server asks nobody who they are: everyone who reaches it has every thread already.
        </p>
      )}
      {thread && <ByLink thread={thread} />}
      {thread && <ByName thread={thread} />}
    </Dialog>
  );
}

function close(): void {
  sharing.value = false;
}

function ByLink({ thread }: { thread: string }) {
  const [role, setRole] = useState<ShareRole>("viewer");
  const [seconds, setSeconds] = useState(TERMS[1]!.seconds);
  const [made, setMade] = useState<Invitation | null>(null);
  const [ask, problem] = useAsking();
  return (
    <section class="share-part">
      <h3>With a link</h3>
      <p class="hint">Whoever opens it gets the role, until the link expires.</p>
      <div class="share-row">
        <RoleField value={role} onRole={setRole} testId="invite-role" />
        <label class="field">
          <span class="field-label">Expires after</span>
          <select data-testid="invite-term" value={seconds} onChange={(event) => setSeconds(Number(event.currentTarget.value))}>
            {TERMS.map((term) => (
              <option key={term.seconds} value={term.seconds}>
                {term.name}
              </option>
            ))}
          </select>
        </label>
        <button type="button" class="button strong" data-testid="invite" onClick={() => void ask(async () => setMade(await inviteTo(thread, role, seconds)))}>
          Create link
        </button>
      </div>
      {made && <Made invitation={made} onTakenBack={() => setMade(null)} />}
      {problem}
    </section>
  );
}

function Made({ invitation, onTakenBack }: { invitation: Invitation; onTakenBack: () => void }) {
  const [copied, setCopied] = useState<boolean | null>(null);
  const [ask, problem] = useAsking();
  const undo = async () => {
    await takeBack(invitation);
    onTakenBack();
  };
  return (
    <div class="share-made">
      <input
        type="text"
        readOnly
        aria-label="Link of the invitation"
        data-testid="invite-link"
        value={invitation.address}
        onFocus={(event) => event.currentTarget.select()}
      />
      <div class="buttons">
        <button type="button" class="button" data-testid="invite-copy" onClick={() => void copy(invitation.address).then(setCopied)}>
          {copied ? "Copied" : "Copy link"}
        </button>
        <button type="button" class="button" data-testid="invite-revoke" onClick={() => void ask(undo)}>
          Revoke
        </button>
        <p class="hint">
          {copied === false
            ? "The browser did not let the page copy."
            : invitation.expires && `Works until ${wholeTime(invitation.expires)}. It is shown only now.`}
        </p>
      </div>
      {problem}
    </div>
  );
}

function ByName({ thread }: { thread: string }) {
  const [principal, setPrincipal] = useState("");
  const [role, setRole] = useState<ShareRole>("participant");
  const [done, setDone] = useState<string | null>(null);
  const [ask, problem] = useAsking();
  const name = principal.trim();
  const give = async () => {
    setDone(null);
    await shareWith(thread, name, role);
    const may = ROLES.find((one) => one.role === role)?.may;
    setDone(may ? `${name} ${may} now.` : `${name} has no part in this thread any more.`);
  };
  return (
    <form
      class="share-part"
      onSubmit={(event) => {
        event.preventDefault();
        void ask(give);
      }}
    >
      <h3>With somebody this server knows</h3>
      <div class="share-row">
        <label class="field">
          <span class="field-label">Name</span>
          <input
            type="text"
            autocomplete="off"
            spellcheck={false}
            data-testid="share-principal"
            value={principal}
            onInput={(event) => setPrincipal(event.currentTarget.value)}
          />
        </label>
        <RoleField value={role} onRole={setRole} testId="share-role" none />
        <button type="submit" class="button" data-testid="share-give" disabled={!name}>
          {role === "none" ? "Take away" : "Share"}
        </button>
      </div>
      {done && (
        <p class="hint" role="status" data-testid="share-done">
          {done}
        </p>
      )}
      {problem}
    </form>
  );
}

interface RoleProps {
  value: ShareRole;
  onRole: (role: ShareRole) => void;
  testId: string;
  none?: boolean;
}

function RoleField({ value, onRole, testId, none = false }: RoleProps) {
  return (
    <label class="field">
      <span class="field-label">Role</span>
      <select data-testid={testId} value={value} onChange={(event) => onRole(event.currentTarget.value as ShareRole)}>
        {ROLES.map(({ role, name, may }) => (
          <option key={role} value={role} title={may}>
            {name}
          </option>
        ))}
        {none && <option value="none">No role</option>}
      </select>
    </label>
  );
}

/** Ask the server for something; what goes wrong is shown beside what was asked with. */
function useAsking() {
  const [why, setWhy] = useState<string | null>(null);
  const ask = async (what: () => Promise<void>) => {
    setWhy(null);
    try {
      await what();
    } catch (error) {
      setWhy(sentenceOf(error));
    }
  };
  const problem = why && (
    <p class="problem" role="alert" data-testid="share-problem">
      {why}
    </p>
  );
  return [ask, problem] as const;
}
