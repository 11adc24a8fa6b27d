// LangChain.js: ChatOpenAI (`chat`, `responses`) and ChatAnthropic (`messages`).
import assert from "node:assert/strict";
import { ChatAnthropic } from "@langchain/anthropic";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import {
  calledWell,
  key,
  models,
  origin,
  outputTokens,
  pixel,
  question,
  rejection,
  run,
  tideParameters,
} from "./cases.mjs";

const api = process.argv[2];
const chat = (model, apiKey = key, more = {}) =>
  api === "messages"
    ? new ChatAnthropic({ model, apiKey, anthropicApiUrl: origin, maxRetries: 0, maxTokens: outputTokens, ...more })
    : new ChatOpenAI({
        model,
        apiKey,
        configuration: { baseURL: `${origin}/v1` },
        maxRetries: 0,
        useResponsesApi: api === "responses",
        ...more,
      });
const tideHeight = tool(async () => "1 m", {
  name: "tide_height",
  description: "Returns the height of the tide.",
  schema: tideParameters,
});

await run(api === "messages" ? "@langchain/anthropic" : "@langchain/openai", {
  async text() {
    const answer = await chat(models.demo).invoke(question);
    assert.ok(answer.text);
    assert.ok(answer.usage_metadata.output_tokens > 0);
  },
  async stream() {
    let joined;
    for await (const chunk of await chat(models.demo).stream(question)) {
      joined = joined ? joined.concat(chunk) : chunk;
    }
    const whole = await chat(models.demo).invoke(question);
    assert.equal(joined.text, whole.text);
    // Not equal: over messages it adds what `message_start` says to the sum of `message_delta`.
    assert.ok(joined.usage_metadata.output_tokens >= whole.usage_metadata.output_tokens);
  },
  async tools() {
    const bound = chat(models.tools).bindTools([tideHeight]);
    const answer = await bound.invoke(question);
    const [call] = answer.tool_calls;
    calledWell(call.name, call.args);
    const result = new ToolMessage({ content: "1 m", tool_call_id: call.id });
    assert.ok((await bound.invoke([new HumanMessage(question), answer, result])).text);
  },
  async error() {
    const isOf = (status) => (error) => error.status === status;
    await assert.rejects(chat(models.demo, "wrong").invoke(question), isOf(401));
    await assert.rejects(chat("no-such-model").invoke(question), isOf(404));
    await assert.rejects(chat(models.refused).invoke(question), isOf(400));
  },
  async cut() {
    return rejection(async () => {
      for await (const chunk of await chat(models.cut).stream(question)) void chunk;
    });
  },
  async cancel() {
    const controller = new AbortController();
    const stream = await chat(models.endless).stream(question, { signal: controller.signal });
    try {
      for await (const chunk of stream) if (chunk.text) controller.abort();
    } catch (error) {
      assert.ok(controller.signal.aborted, error.name);
    }
  },
  async image() {
    const content = [
      { type: "text", text: question },
      { type: "image_url", image_url: { url: pixel } },
    ];
    assert.ok((await chat(models.demo).invoke([new HumanMessage({ content })])).text);
  },
});
