// OpenAI's client for Node against a server, as its documentation uses it.
// Arguments: the base URL and the model's name. Exits with 0 where all is well.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../webclient/package.json", import.meta.url));
const { OpenAI } = require("openai");

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ apiKey: "any", baseURL, maxRetries: 0 });
const messages = [
  { role: "developer", content: "Be brief." },
  { role: "user", content: "Say this is a test" },
];

const whole = await client.chat.completions.create({ model, messages, max_tokens: 6, temperature: 0 });
const text = whole.choices[0].message.content;
assert.ok(text);
assert.equal(whole.id, `chatcmpl-${whole._request_id}`);
assert.equal(whole.usage.completion_tokens, 6);

let streamed = "";
const chunks = await client.chat.completions.create({ model, messages, max_tokens: 6, temperature: 0, stream: true });
for await (const chunk of chunks) streamed += chunk.choices[0]?.delta?.content || "";
assert.equal(streamed, text);

const helper = client.chat.completions.stream({
  model,
  messages,
  max_tokens: 6,
  temperature: 0,
  stream_options: { include_usage: true },
});
let heard = "";
helper.on("content", (delta) => (heard += delta));
assert.equal((await helper.finalChatCompletion()).usage.completion_tokens, 6);
assert.equal(heard, text);

const parsed = await client.chat.completions.parse({
  model,
  messages,
  response_format: { type: "json_schema", json_schema: { name: "n", strict: true, schema: { const: 42 } } },
});
assert.equal(parsed.choices[0].message.content, "42");

const stopping = await client.chat.completions.create({ model, messages, max_tokens: 1500, stream: true });
for await (const chunk of stopping) {
  assert.equal(chunk.object, "chat.completion.chunk");
  break; // which aborts the request
}

const completion = await client.completions.create({ model, prompt: "Once upon a", max_tokens: 2 });
assert.equal(completion.choices[0].finish_reason, "length");

const embeddings = await client.embeddings.create({ model, input: ["a", "b"], dimensions: 8 });
assert.deepEqual(
  embeddings.data.map((one) => one.embedding.length),
  [8, 8],
);

const names = [];
for await (const one of client.models.list()) names.push(one.id);
assert.deepEqual(names, [model]);
assert.equal((await client.models.retrieve(model)).owned_by, "livethread");

const { response } = await client.models.list().withResponse();
assert.ok(response.headers.get("livethread-instance"));

await assert.rejects(client.chat.completions.create({ model: "gpt-4o", messages }), OpenAI.NotFoundError);
await assert.rejects(client.chat.completions.create({ model, messages: [] }), (error) => {
  assert.ok(error instanceof OpenAI.BadRequestError);
  return error.param === "messages" && error.type === "invalid_request_error";
});

console.log("all is well");
