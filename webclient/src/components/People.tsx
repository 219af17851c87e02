import { status } from "../client";
import { company, initialsOf, type Person, typingIn } from "../presence";
import { Window } from "./icons";

const SHOWN = 4;

/** Who else looks at this thread. */
export function People() {
  if (status.value.kind !== "open") return null;
  const { people, unseen } = company();
  if (!people.length) return null;
  const hidden = Math.max(0, people.length - SHOWN) + unseen;
  return (
    <ul class="people" aria-label="Also here" data-testid="people">
      {people.slice(0, SHOWN).map((person) => (
        <Face key={person.id} person={person} />
      ))}
      {hidden > 0 && (
        <li class="face more" title={`${hidden} more`}>
          +{hidden > 99 ? "99" : hidden}
        </li>
      )}
    </ul>
  );
}

function Face({ person }: { person: Person }) {
  const { name, self, typing } = person;
  const about = aboutOf(person) + (typing ? ", typing" : "");
  return (
    <li class="face" data-testid="person" data-self={self} data-typing={typing} title={about}>
      <span aria-hidden="true">{self ? <Window /> : initialsOf(name)}</span>
      <span class="visually-hidden">{about}</span>
    </li>
  );
}

function aboutOf({ name, self, windows }: Person): string {
  if (self) return windows === 1 ? "Another window" : `${windows} other windows`;
  return windows === 1 ? name : `${name}, in ${windows} windows`;
}

/** Over the place where the next message is written: who is writing one already. */
export function TypingLine() {
  const sentence = status.value.kind === "open" ? typingIn(company()) : null;
  if (!sentence) return null;
  return (
    <p class="typing-line" data-testid="typing">
      <Dots />
      {sentence}
    </p>
  );
}

function Dots() {
  return (
    <span class="dots" aria-hidden="true">
      <i />
      <i />
      <i />
    </span>
  );
}
