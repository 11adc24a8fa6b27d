// The AI SDK with the provider that the first argument names.
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { createOpenRouter } from "@openrouter/ai-sdk-provider";
import { generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import {
  calledWell,
  key,
  models,
  origin,
  outputTokens,
  pixel,
  question,
  run,
  seen,
  tideParameters,
} from "./cases.mjs";

const v1 = `${origin}/v1`;
const providers = {
  "openai-chat": (apiKey) => createOpenAI({ baseURL: v1, apiKey }).chat,
  "openai-responses": (apiKey) => createOpenAI({ baseURL: v1, apiKey }),
  compatible: (apiKey) =>
    createOpenAICompatible({
      name: "1api",
      baseURL: v1,
      apiKey,
      includeUsage: true,
      supportsStructuredOutputs: true,
    }),
  anthropic: (apiKey) => createAnthropic({ baseURL: v1, apiKey }),
  google: (apiKey) => createGoogleGenerativeAI({ baseURL: `${origin}/v1beta`, apiKey }),
  // Strict, as its default instance is: else it asks for no usage in streams.
  openrouter: (apiKey) =>
    createOpenRouter({ baseURL: `${origin}/api/v1`, apiKey, compatibility: "strict" }),
};
const packages = {
  "openai-chat": "@ai-sdk/openai",
  "openai-responses": "@ai-sdk/openai",
  compatible: "@ai-sdk/openai-compatible",
  anthropic: "@ai-sdk/anthropic",
  google: "@ai-sdk/google",
  openrouter: "@openrouter/ai-sdk-provider",
};
const provider = process.argv[2];
const modelOf = (name, apiKey = key) => providers[provider](apiKey)(name);
const asked = (name, apiKey) => ({
  model: modelOf(name, apiKey),
  prompt: question,
  maxRetries: 0,
  maxOutputTokens: outputTokens,
  onError: () => {},
});

await run(packages[provider], {
  async text() {
    const answer = await generateText(asked(models.demo));
    assert.ok(answer.text);
    assert.equal(answer.finishReason, "stop");
    assert.ok(answer.usage.outputTokens > 0);
  },
  async stream() {
    const answer = streamText(asked(models.demo));
    let text = "";
    for await (const part of answer.textStream) text += part;
    const whole = await generateText(asked(models.demo));
    assert.equal(text, whole.text);
    assert.equal(await answer.finishReason, "stop");
    assert.equal((await answer.usage).outputTokens, whole.usage.outputTokens);
  },
  async tools() {
    const called = [];
    const tide_height = tool({
      description: "Returns the height of the tide.",
      inputSchema: jsonSchema(tideParameters),
      execute: async (given) => {
        called.push(given);
        return "1 m";
      },
    });
    const more = { tools: { tide_height }, stopWhen: stepCountIs(3) };
    const answer = await generateText({ ...asked(models.tools), ...more });
    assert.equal(called.length, 1);
    calledWell("tide_height", called[0]);
    assert.ok(answer.text);
    const streamed = streamText({ ...asked(models.tools), ...more });
    let text = "";
    for await (const part of streamed.textStream) text += part;
    assert.ok(text);
    assert.equal(called.length, 2);
  },
  async error() {
    const isOf = (status) => (error) => error.statusCode === status;
    await assert.rejects(generateText(asked(models.demo, "wrong")), isOf(401));
    await assert.rejects(generateText(asked("no-such-model")), isOf(404));
    await assert.rejects(generateText(asked(models.refused)), isOf(400));
  },
  async cut() {
    // A part says `error`, or the reason why it ended does; the broken connection raises, too.
    const parts = [];
    let raised;
    try {
      for await (const part of streamText(asked(models.cut)).fullStream) parts.push(part);
    } catch (error) {
      raised = error;
    }
    const error = parts.find((one) => one.type === "error")?.error;
    if (error) return `part \`error\`, ${seen(error)}`;
    if (raised) return seen(raised);
    const reason = parts.find((one) => one.type === "finish")?.finishReason;
    assert.ok(["error", "interrupted"].includes(reason));
    return `finish reason \`${reason}\``;
  },
  async cancel() {
    const controller = new AbortController();
    const answer = streamText({ ...asked(models.endless), abortSignal: controller.signal });
    for await (const part of answer.textStream) if (part) break;
    controller.abort();
    await new Promise((resolve) => setTimeout(resolve, 100));
  },
  async image() {
    const content = [
      { type: "text", text: question },
      { type: "file", data: pixel, mediaType: "image/png" },
    ];
    const { prompt, ...rest } = asked(models.demo);
    void prompt;
    assert.ok((await generateText({ ...rest, messages: [{ role: "user", content }] })).text);
  },
  async schema() {
    const schema = jsonSchema({
      type: "object",
      properties: { name: { type: "string" } },
      required: ["name"],
      additionalProperties: false,
    });
    const answer = await generateObject({ ...asked(models.demo), schema });
    assert.ok(answer.object.name);
  },
});
