// A TypeScript or JavaScript backend as it would call monitor: @grpc/grpc-js on the protos themselves.
//
//   node monitor.mjs '{"address": "127.0.0.1:50054", "protos": DIR, "googleapis": DIR}'
//
// Prints one JSON document: what became of its own errors, and what is refused.

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

import { refusing } from "./rich.mjs";

const settings = JSON.parse(process.argv[2]);
const definition = protoLoader.loadSync(["souk/monitor/v1/error.proto"], {
  includeDirs: [settings.protos],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { ErrorService } = grpc.loadPackageDefinition(definition).souk.monitor.v1;
const monitor = new ErrorService(settings.address, grpc.credentials.createInsecure());
const refused = refusing(settings.googleapis);

const unary = (method, request) =>
  new Promise((resolve, reject) =>
    monitor[method](request, (error, response) => (error ? reject(error) : resolve(response))),
  );

// the report of an error as V8 tells of it: the stack is parsed by the service
const reportOf = (error, more) => ({
  platform: "node",
  service: "checkout",
  exceptions: [{ type: error.name, value: error.message, stack_text: error.stack }],
  ...more,
});

function sellerOf(order) {
  return order.seller.name;
}

function failing(order) {
  try {
    return sellerOf(order);
  } catch (error) {
    return error;
  }
}

const watch = monitor.WatchIssues({ resume_token: "0" });
const seen = new Promise((resolve, reject) => {
  watch.on("data", (change) => change.issue && resolve(change));
  watch.on("error", reject);
});
const event_id = "0123456789abcdef0123456789abcdef";
const { results } = await unary("ReportErrors", {
  reports: [reportOf(failing({ id: 1 }), { event_id, tags: { card: "visa" } }), reportOf(failing({ id: 2 }))],
});
const again = await unary("ReportErrors", { reports: [reportOf(failing({ id: 1 }), { event_id })] });
const change = await seen;
watch.on("error", () => {}); // it is cancelled
watch.cancel();
const { issues } = await unary("ListIssues", { search: "seller", order: "ISSUE_ORDER_EVENTS" });
const detail = await unary("GetIssue", { issue_id: issues[0].short_id });
const { issue } = await unary("UpdateIssue", { issue_id: issues[0].issue_id, resolve: {}, actor: "node" });
const wrong = await refused(unary("GetIssue", { issue_id: "NOPE-1" }));
const empty = await refused(unary("ReportErrors", { reports: [] }));
console.log(JSON.stringify({ results, again: again.results, change, issues, detail, issue, wrong, empty }));
monitor.close();
