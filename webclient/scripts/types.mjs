// Turns the JSON Schemas of the wire (standard input) into TypeScript (standard output).
//
//     livethread spec schemas | node scripts/types.mjs > src/wire-types.ts

import { text } from "node:stream/consumers";
import { compile } from "json-schema-to-typescript";

const { $defs } = JSON.parse(await text(process.stdin));
const adapted = JSON.parse(JSON.stringify($defs).replaceAll("#/components/schemas/", "#/$defs/"));
for (const schema of Object.values(adapted)) sealed(schema);
const everything = { $defs: adapted, type: "object", properties: references(), required: [], additionalProperties: false };
const types = await compile(everything, "EveryWireType", {
  bannerComment: "/* Made by `make types` from the server's own structs. Do not edit. */",
  additionalProperties: false,
  declareExternallyReferenced: true,
  format: true,
  style: { printWidth: 120 },
  unreachableDefinitions: false,
});
process.stdout.write(types.replace(/export interface EveryWireType \{[^}]*\}\n/, ""));

/** A reference to each type, so that every one is declared under its own name. */
function references() {
  return Object.fromEntries(Object.keys(adapted).map((name) => [name, { $ref: `#/$defs/${name}` }]));
}

/**
 * Without bounds of lengths, which become unwieldy tuples in TypeScript, and without a default beside a reference, which
 * would make a second type of it; what is free of form stays so.
 */
function sealed(schema) {
  if (typeof schema !== "object" || schema === null) return;
  if (Array.isArray(schema)) { schema.forEach(sealed); return; }
  delete schema.maxItems;
  delete schema.minItems;
  delete schema.discriminator;
  if (schema.$ref) delete schema.default;
  if (schema.type === "object" && !schema.properties && !schema.additionalProperties) schema.additionalProperties = true;
  for (const inner of Object.values(schema)) sealed(inner);
}
