/** The fields of a JSON Schema as a table: what each is called, what it may be, whether it must be there. */

import type { Schema } from "./document";

const BOUNDS = ["minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems", "pattern"];

export function Fields({ schema }: { schema: Schema }) {
  const fields = Object.entries(schema.properties ?? {});
  if (fields.length === 0) return <p class="quiet">No fields.</p>;
  const required = new Set(schema.required ?? []);
  return (
    <table>
      <tbody>
        {fields.map(([name, field]) => (
          <tr key={name}>
            <th scope="row"><code>{name}</code>{required.has(name) ? null : <span class="quiet"> optional</span>}</th>
            <td><Kind schema={field} /></td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Kind({ schema }: { schema: Schema }) {
  const inner = structure(schema);
  return (
    <>
      <code>{words(schema)}</code> <span class="quiet">{bounds(schema)}</span>
      {inner.map((one) => (
        <details key={one.title}>
          <summary>{one.title}</summary>
          {one.description && <p>{one.description}</p>}
          <Fields schema={one} />
        </details>
      ))}
    </>
  );
}

/** The structs that a value is, or holds. */
function structure(schema: Schema): Schema[] {
  if (schema.properties) return [schema];
  const inside = [...(schema.anyOf ?? []), ...(schema.items ? [schema.items] : [])];
  return inside.flatMap(structure);
}

function words(schema: Schema): string {
  if ("const" in schema && schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map(words).join(" | ");
  if (schema.items) return `list of ${words(schema.items)}`;
  if (schema.properties) return schema.title ?? "map";
  return schema.type ?? "anything";
}

function bounds(schema: Schema): string {
  const whole = schema.anyOf?.find((option) => option.type !== "null") ?? schema;
  const found = BOUNDS.filter((name) => whole[name] !== undefined).map((name) => `${name} ${String(whole[name])}`);
  if (schema.default !== undefined && schema.default !== null) found.push(`default ${JSON.stringify(schema.default)}`);
  return found.join(", ");
}
