// Fails in many ways, and reports each by every SDK as it is: node report_failures.mjs DSN HOST:PORT PROJECT PROTOS.
//
// Each failure happens once, in a span that records it, and is logged there (`both`); it is also given to Sentry's SDK, by the native
// rpc as Node prints it, and in spans of their own to OpenTelemetry as a log record alone and as an event of the span alone. Prints the names and the ways, as JSON.

import { inspect } from "node:util";

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import { context, trace } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-grpc";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import * as Sentry from "@sentry/node";

import { failures } from "../monitor/programs/failures.mjs";

const [dsn, address, project, protos] = process.argv.slice(2);
const ways = ["sentry", "printed", "log", "span", "both"];

Sentry.init({ dsn });
const resource = resourceFromAttributes({ "service.name": "shop", "telemetry.sdk.language": "nodejs", "souk.project": project });
const url = `http://${address}`;
const logs = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter({ url }) })] });
const spans = new BasicTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter({ url }))] });
const logger = logs.getLogger("shop");
const tracer = spans.getTracer("shop");
const definition = protoLoader.loadSync(["souk/monitor/v1/error.proto"], { includeDirs: [protos], keepCase: true });
const { ErrorService } = grpc.loadPackageDefinition(definition).souk.monitor.v1;
const monitor = new ErrorService(address, grpc.credentials.createInsecure());
const reports = [];

const told = (failure, way) => ({ failure, way });

const log = (name, error, way, span) =>
  logger.emit({
    severityNumber: SeverityNumber.ERROR,
    body: `${name} failed`,
    exception: error,
    attributes: told(name, way),
    context: trace.setSpan(context.active(), span),
  });

// By each way alone.
function report(name, error) {
  Sentry.withScope((scope) => {
    scope.setTags(told(name, "sentry"));
    Sentry.captureException(error);
  });
  reports.push({
    platform: "node",
    exceptions: [{ type: error.name, value: error.message, stack_text: inspect(error) }],
    tags: told(name, "printed"),
  });
  const logged = tracer.startSpan(name);
  log(name, error, "log", logged);
  logged.end();
  const recorded = tracer.startSpan(name, { attributes: told(name, "span") });
  recorded.recordException(error);
  recorded.end();
}

for (const [name, fail] of Object.entries(failures)) {
  const span = tracer.startSpan(name, { attributes: told(name, "both") });
  try {
    await fail();
  } catch (error) {
    report(name, error);
    log(name, error, "both", span);
    span.recordException(error);
  }
  span.end();
}
await new Promise((resolve, reject) => monitor.ReportErrors({ project, reports }, (error) => (error ? reject(error) : resolve())));
monitor.close();
await Promise.all([Sentry.close(20_000), logs.shutdown(), spans.shutdown()]);
console.log(JSON.stringify({ failures: Object.keys(failures), ways }));
