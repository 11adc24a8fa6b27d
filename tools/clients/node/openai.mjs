// openai-node, unmodified; the same lines as `openai_python.py`.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { VERSION } from "openai/version";

const models = JSON.parse(process.env.CLIENT_MODELS);
const messages = [{ role: "user", content: "Name a thing that is blue." }];
const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
const client = new OpenAI({ maxRetries: 0 });
const create = (model, more = {}) => client.chat.completions.create({ model, messages, ...more });

const cases = {
  async text() {
    const answer = await create(models.text);
    assert.equal(answer.model, models.text);
    assert.equal(answer.usage.total_tokens, 25);
    assert.equal(answer.usage.cost, "0.0000256");
    assert.match(answer._request_id, /^req_/);
  },
  async stream() {
    const stream = await create(models.stream, {
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.ok(text);
    assert.equal(usage.completion_tokens, 7);
  },
  async tools() {
    const tool = { type: "function", function: { name: "tide_height", parameters: { type: "object" } } };
    const answer = await create(models.tools, { tools: [tool] });
    const [call] = answer.choices[0].message.tool_calls;
    assert.equal(JSON.parse(call.function.arguments).harbor, "Port Amber");
  },
  async image() {
    const content = [
      { type: "text", text: "Which colour?" },
      { type: "image_url", image_url: { url: pixel } },
    ];
    const answer = await create(models.image, { messages: [{ role: "user", content }] });
    assert.equal(answer.choices[0].message.content, "Red.");
  },
  async schema() {
    const schema = { type: "object", properties: { name: { type: "string" } } };
    const answer = await client.chat.completions.parse({
      model: models.schema,
      messages,
      response_format: { type: "json_schema", json_schema: { name: "harbor", schema } },
    });
    assert.equal(JSON.parse(answer.choices[0].message.content).name, "Port Amber");
  },
  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.ok(ids.includes(models.text));
  },
  async error_of_the_key() {
    const wrong = new OpenAI({ apiKey: "wrong", maxRetries: 0 });
    await assert.rejects(
      wrong.chat.completions.create({ model: models.text, messages }),
      (error) => error instanceof OpenAI.AuthenticationError && error.code === "invalid_api_key",
    );
  },
  async error_of_the_model() {
    await assert.rejects(
      create("no-such-model"),
      (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found",
    );
  },
  async error_of_the_provider() {
    await assert.rejects(
      create(models.refused),
      (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature",
    );
  },
  async cut() {
    await assert.rejects(async () => {
      for await (const chunk of await create(models.cut, { stream: true })) void chunk;
    });
  },
  async cancel() {
    const stream = await create(models.endless, { stream: true });
    for await (const chunk of stream) {
      void chunk;
      break;
    }
    stream.controller.abort();
  },
};

for (const [name, check] of Object.entries(cases)) {
  let told = "ok";
  try {
    await check();
  } catch (error) {
    told = `${error.name} ${error.message}`.slice(0, 200).replaceAll("\n", " ");
  }
  console.log(`${name}\t${told}`);
}
console.log(`version\t${VERSION}`);
process.exit(0);
