// Lists the newest usage records of a workspace, one JSON line each: run it against a running core.
//
//   ONEAPI_CORE_TARGET=127.0.0.1:50051 ONEAPI_TOKEN=... node examples/list-usage.mjs ws_...
//
// The token is that of a service which may read usage, `finance` for instance. Exit code 1 and one
// line on standard error, with the reason as the API reference names it, when core refuses.

import process from "node:process";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { ErrorInfoSchema } from "../src/google/rpc/error_details_pb.js";
import { UsageService } from "../src/oneapi/metering/v1/usage_service_pb.js";

const PAGE_SIZE = 20;
const DEADLINE_MS = 5_000;
const NANOS_PER_DOLLAR = 1_000_000_000n;

/**
 * A charge as a decimal string, exact to the nano-dollar: money never becomes a float.
 * @param {bigint} nanos
 */
function dollars(nanos) {
  const fraction = String(nanos % NANOS_PER_DOLLAR).padStart(9, "0");
  return `${nanos / NANOS_PER_DOLLAR}.${fraction}`;
}

/** @param {string} workspaceId */
async function listUsage(workspaceId) {
  const target = process.env.ONEAPI_CORE_TARGET ?? "127.0.0.1:50051";
  const transport = createGrpcTransport({ baseUrl: `http://${target}` });
  const usage = createClient(UsageService, transport);
  const headers = { authorization: `Bearer ${process.env.ONEAPI_TOKEN ?? ""}` };
  const answer = await usage.listUsage(
    { workspaceId, pageSize: PAGE_SIZE },
    { headers, timeoutMs: DEADLINE_MS },
  );
  for (const record of answer.usages) {
    const charge = dollars(record.charge?.amountNanos ?? 0n);
    const line = { request_id: record.requestId, model: record.model, charge };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
}

try {
  await listUsage(process.argv[2] ?? "");
} catch (error) {
  const failure = ConnectError.from(error);
  const [info] = failure.findDetails(ErrorInfoSchema);
  process.stderr.write(`${info?.reason ?? Code[failure.code]}\n`);
  process.exitCode = 1;
}
