// @anthropic-ai/sdk.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import {
  calledWell,
  key,
  models,
  origin,
  outputTokens,
  pixelBase64,
  question,
  rejection,
  run,
  tideParameters,
} from "./cases.mjs";

const client = new Anthropic({ baseURL: origin, apiKey: key, maxRetries: 0 });
const wrong = new Anthropic({ baseURL: origin, apiKey: "wrong", maxRetries: 0 });
const messages = [{ role: "user", content: question }];
const tools = [{ name: "tide_height", input_schema: tideParameters }];
const asked = (model, more = {}) => ({ model, max_tokens: outputTokens, messages, ...more });
const create = (model, more = {}, by = client) => by.messages.create(asked(model, more));

await run("@anthropic-ai/sdk", {
  async text() {
    const answer = await create(models.demo);
    assert.ok(answer.content[0].text);
    assert.equal(answer.stop_reason, "end_turn");
    assert.equal(answer.model, models.demo);
    assert.match(answer._request_id, /^req_/);
  },
  async stream() {
    const stream = client.messages.stream(asked(models.demo));
    const streamed = await stream.finalText();
    const final = await stream.finalMessage();
    const whole = await create(models.demo);
    assert.equal(streamed, whole.content[0].text);
    assert.equal(final.usage.output_tokens, whole.usage.output_tokens);
  },
  async tools() {
    const answer = await create(models.tools, { tools });
    const [call] = answer.content.filter((one) => one.type === "tool_use");
    calledWell(call.name, call.input);
    const streamed = await client.messages.stream(asked(models.tools, { tools })).finalMessage();
    const again = streamed.content.filter((one) => one.type === "tool_use");
    assert.deepEqual(again[0].input, call.input);
    const result = { type: "tool_result", tool_use_id: call.id, content: "1 m" };
    const turns = [
      ...messages,
      { role: "assistant", content: answer.content },
      { role: "user", content: [result] },
    ];
    assert.ok((await create(models.tools, { tools, messages: turns })).content[0].text);
  },
  async error() {
    const isOf = (kind, type) => (error) => error instanceof kind && error.error.error.type === type;
    await assert.rejects(
      create(models.demo, {}, wrong),
      isOf(Anthropic.AuthenticationError, "authentication_error"),
    );
    await assert.rejects(create("no-such-model"), isOf(Anthropic.NotFoundError, "not_found_error"));
    await assert.rejects(
      create(models.refused),
      isOf(Anthropic.BadRequestError, "invalid_request_error"),
    );
  },
  async cut() {
    await assert.rejects(client.messages.stream(asked(models.cut)).finalMessage());
    return rejection(async () => {
      for await (const event of await create(models.cut, { stream: true })) void event;
    });
  },
  async cancel() {
    const stream = await create(models.endless, { stream: true });
    for await (const event of stream) if (event.type === "content_block_delta") break;
    stream.controller.abort();
  },
  async image() {
    const source = { type: "base64", media_type: "image/png", data: pixelBase64 };
    const content = [
      { type: "text", text: question },
      { type: "image", source },
    ];
    const answer = await create(models.demo, { messages: [{ role: "user", content }] });
    assert.ok(answer.content[0].text);
  },
});
