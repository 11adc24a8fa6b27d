// What the Node programs share; the twin of `cases.py`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export const origin = process.env.CLIENT_ORIGIN;
export const key = process.env.CLIENT_KEY;
export const models = JSON.parse(process.env.CLIENT_MODELS);
export const question = "Name a thing that is blue.";
export const outputTokens = 4000;
export const pixelBase64 =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";
export const pixel = `data:image/png;base64,${pixelBase64}`;
export const tideParameters = {
  type: "object",
  properties: { harbor: { type: "string" }, unit: { type: "string", enum: ["m", "ft"] } },
  required: ["harbor", "unit"],
  additionalProperties: false,
};

export function calledWell(name, given) {
  assert.equal(name, "tide_height");
  assert.deepEqual(Object.keys(given).sort(), ["harbor", "unit"]);
  assert.ok(["m", "ft"].includes(given.unit));
}

export function version(name) {
  const manifest = new URL(`./node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(manifest)).version;
}

// Returns how a client shows the error that an action must raise; the twin of `seen`.
export async function rejection(action, kind = Error) {
  try {
    await action();
  } catch (error) {
    assert.ok(error instanceof kind || kind === Error);
    return seen(error);
  }
  assert.fail("no error");
}

export function seen(error) {
  const said = [error?.code, error?.message, error?.cause?.message, JSON.stringify(error)].join(" ");
  const name = error?.constructor?.name ?? typeof error;
  return said.includes("upstream") ? `\`${name}\` with our words` : `\`${name}\``;
}

// Runs every case; one that fails does not stop the others. A text that it returns is shown.
export async function run(name, cases) {
  for (const [title, check] of Object.entries(cases)) {
    let told = "ok";
    let detail;
    try {
      detail = await check();
    } catch (error) {
      const place = /(\w+\.mjs:\d+)/.exec(String(error?.stack).replaceAll(/node_modules\S*/g, ""));
      told = `${error?.name ?? "error"} at ${place?.[1] ?? "no line of ours"}`;
      if (process.env.CLIENT_TRACES) console.error(error);
    }
    console.log(`${title}\t${told}`);
    if (detail) console.log(`${title}_seen\t${detail}`);
  }
  console.log(`version\t${version(name)}`);
  process.exit(0);
}
