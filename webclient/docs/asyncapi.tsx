/** The socket: every command with its reply, and every event, as the server's AsyncAPI document says them. */

import "./pages";
import { render } from "preact";
import { Fields } from "./fields";
import { type Document, load, type Message, type Operation } from "./document";

const found = await load("../asyncapi.json");
render(<Page document={found} />, document.getElementById("document")!);
// What the address names was not there yet when the browser looked for it.
document.getElementById(location.hash.slice(1))?.scrollIntoView();

function Page({ document: { info, operations, channels } }: { document: Document }) {
  const commands = Object.entries(operations).filter(([, operation]) => operation.action === "receive");
  const events = Object.values(operations).filter((operation) => operation.action === "send").flatMap(({ messages }) => messages);
  return (
    <>
      <nav>
        <a href="./">All doors</a>
        <h2>Commands</h2>
        <Index names={commands.map(([name]) => name)} />
        <h2>Events</h2>
        <Index names={events.map(({ name }) => name)} prefix="event." />
      </nav>
      <main>
        <h1>{info.title} <small>{info.version}</small></h1>
        <p>{Object.values(channels).map(({ address }) => <code key={address}>{address}</code>)}</p>
        <p><Marked text={info.description} /></p>
        <h2>Commands</h2>
        {commands.map(([name, operation]) => <Command key={name} name={name} operation={operation} />)}
        <h2>Events</h2>
        {events.map((event) => <Told key={event.name} event={event} />)}
      </main>
    </>
  );
}

function Index({ names, prefix = "" }: { names: string[]; prefix?: string }) {
  return <ul>{names.map((name) => <li key={name}><a href={`#${prefix}${name}`}>{name}</a></li>)}</ul>;
}

function Command({ name, operation }: { name: string; operation: Operation }) {
  const [ok, error] = operation.reply?.messages ?? [];
  return (
    <section id={name}>
      <h3>{name}</h3>
      <p><Marked text={operation.summary} /></p>
      {operation.messages.map((message) => <Fields key={message.name} schema={message.payload} />)}
      {ok && <details><summary>Reply</summary><Fields schema={ok.payload} /></details>}
      {error && <details><summary>Refusal</summary><Fields schema={error.payload} /></details>}
    </section>
  );
}

function Told({ event }: { event: Message }) {
  return (
    <section id={`event.${event.name}`}>
      <h3>{event.name}</h3>
      <p><Marked text={event.summary} /></p>
      <Fields schema={event.payload} />
    </section>
  );
}

/** Text in which backquotes mark code, as docstrings and descriptions have it. */
function Marked({ text }: { text: string }) {
  const parts = text.split(/`{1,2}([^`]+)`{1,2}/);
  return <>{parts.map((part, index) => (index % 2 ? <code key={index}>{part}</code> : part))}</>;
}
