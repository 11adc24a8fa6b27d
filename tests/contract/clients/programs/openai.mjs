// openai-node: chat completions or responses, as the first argument says.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { calledWell, key, models, origin, pixel, question, rejection, run, tideParameters } from "./cases.mjs";

const client = new OpenAI({ baseURL: `${origin}/v1`, apiKey: key, maxRetries: 0 });
const wrong = new OpenAI({ baseURL: `${origin}/v1`, apiKey: "wrong", maxRetries: 0 });
const messages = [{ role: "user", content: question }];
const schema = {
  type: "object",
  properties: { name: { type: "string" } },
  required: ["name"],
  additionalProperties: false,
};

const complete = (model, more = {}, by = client) =>
  by.chat.completions.create({ model, messages, ...more });
const chatTool = { type: "function", function: { name: "tide_height", parameters: tideParameters } };

const chat = {
  async text() {
    const answer = await complete(models.demo);
    assert.ok(answer.choices[0].message.content);
    assert.equal(answer.model, models.demo);
    const usage = answer.usage;
    assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    assert.ok(Number(usage.cost) > 0);
    assert.match(answer._request_id, /^req_/);
  },
  async stream() {
    const more = { stream: true, stream_options: { include_usage: true } };
    let text = "";
    let usage;
    for await (const chunk of await complete(models.demo, more)) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    const whole = await complete(models.demo);
    assert.equal(text, whole.choices[0].message.content);
    assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
  },
  async tools() {
    const answer = await complete(models.tools, { tools: [chatTool] });
    const { message } = answer.choices[0];
    const [call] = message.tool_calls;
    calledWell(call.function.name, JSON.parse(call.function.arguments));
    const result = { role: "tool", tool_call_id: call.id, content: "1 m" };
    const more = { tools: [chatTool], messages: [...messages, message, result] };
    assert.ok((await complete(models.tools, more)).choices[0].message.content);
  },
  async error() {
    await assert.rejects(
      complete(models.demo, {}, wrong),
      (error) => error instanceof OpenAI.AuthenticationError && error.code === "invalid_api_key",
    );
    await assert.rejects(
      complete("no-such-model"),
      (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found",
    );
    await assert.rejects(complete(models.refused), OpenAI.BadRequestError);
  },
  async cut() {
    return rejection(async () => {
      for await (const chunk of await complete(models.cut, { stream: true })) void chunk;
    }, OpenAI.APIError);
  },
  async cancel() {
    const stream = await complete(models.endless, { stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta?.content) break;
    stream.controller.abort();
  },
  async image() {
    const content = [
      { type: "text", text: question },
      { type: "image_url", image_url: { url: pixel } },
    ];
    const answer = await complete(models.demo, { messages: [{ role: "user", content }] });
    assert.ok(answer.choices[0].message.content);
  },
  async schema() {
    const answer = await client.chat.completions.parse({
      model: models.demo,
      messages,
      response_format: { type: "json_schema", json_schema: { name: "harbor", schema } },
    });
    assert.ok(JSON.parse(answer.choices[0].message.content).name);
  },
  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.ok(ids.includes(models.demo));
  },
};

const respond = (model, more = {}, by = client) =>
  by.responses.create({ model, input: question, ...more });
const tool = { type: "function", name: "tide_height", parameters: tideParameters, strict: true };
const callsOf = (answer) => answer.output.filter((one) => one.type === "function_call");

const responses = {
  async text() {
    const answer = await respond(models.demo);
    assert.ok(answer.output_text);
    assert.equal(answer.status, "completed");
    assert.equal(answer.model, models.demo);
    assert.equal(answer.store, false);
  },
  async stream() {
    let text = "";
    let last;
    for await (const event of await respond(models.demo, { stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
      last = event;
    }
    assert.equal(last.type, "response.completed");
    const whole = await respond(models.demo);
    assert.equal(text, whole.output_text);
    assert.equal(last.response.usage.output_tokens, whole.usage.output_tokens);
  },
  async tools() {
    const answer = await respond(models.tools, { tools: [tool] });
    const [call] = callsOf(answer);
    calledWell(call.name, JSON.parse(call.arguments));
    const result = { type: "function_call_output", call_id: call.call_id, output: "1 m" };
    const input = [{ role: "user", content: question }, ...answer.output, result];
    assert.ok((await respond(models.tools, { tools: [tool], input })).output_text);
  },
  async error() {
    await assert.rejects(respond(models.demo, {}, wrong), OpenAI.AuthenticationError);
    await assert.rejects(
      respond("no-such-model"),
      (error) => error instanceof OpenAI.APIError && error.code === "model_not_found",
    );
    await assert.rejects(respond(models.refused), OpenAI.BadRequestError);
  },
  async cut() {
    return rejection(async () => {
      for await (const event of await respond(models.cut, { stream: true })) void event;
    }, OpenAI.APIError);
  },
  async cancel() {
    const stream = await respond(models.endless, { stream: true });
    for await (const event of stream) if (event.type === "response.output_text.delta") break;
    stream.controller.abort();
  },
  async image() {
    const content = [
      { type: "input_text", text: question },
      { type: "input_image", image_url: pixel, detail: "auto" },
    ];
    assert.ok((await respond(models.demo, { input: [{ role: "user", content }] })).output_text);
  },
};

await run("openai", process.argv[2] === "responses" ? responses : chat);
