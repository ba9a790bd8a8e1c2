// Reports the failures of the shop by an SDK as it is: node report.mjs sentry DSN, or node report.mjs logs,spans http://host:port
const [ways, target] = process.argv.slice(2);
const report = await (ways === "sentry" ? bySentry() : byOpenTelemetry());
const { failures } = await import("./shop.mjs");

for (const [name, fail] of Object.entries(failures)) {
  try {
    await fail();
  } catch (error) {
    report.error(name, error);
  }
}
await report.end();
if (ways === "sentry") failures.chained(); // nobody handles it

async function bySentry() {
  const Sentry = await import("@sentry/node");
  Sentry.init({ dsn: target, release: "shop@1.2", environment: "test" });
  Sentry.setTag("shop", "eu");
  Sentry.setUser({ id: "7", email: "ada@shop.example" });
  return {
    error: (_, error) => Sentry.captureException(error),
    end: () => {
      Sentry.captureMessage("the shop is closing", "error");
      return Sentry.flush(10_000);
    },
  };
}

async function byOpenTelemetry() {
  const { context, trace } = await import("@opentelemetry/api");
  const { SeverityNumber } = await import("@opentelemetry/api-logs");
  const { OTLPLogExporter } = await import("@opentelemetry/exporter-logs-otlp-grpc");
  const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-grpc");
  const { resourceFromAttributes } = await import("@opentelemetry/resources");
  const { BatchLogRecordProcessor, LoggerProvider } = await import("@opentelemetry/sdk-logs");
  const { BasicTracerProvider, BatchSpanProcessor } = await import("@opentelemetry/sdk-trace-base");
  const resource = resourceFromAttributes({
    "service.name": "shop",
    "service.version": "1.2",
    "deployment.environment.name": "test",
    "telemetry.sdk.language": "nodejs",
  });
  const exporter = new OTLPLogExporter({ url: target });
  const logs = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter })] });
  const spanProcessors = [new BatchSpanProcessor(new OTLPTraceExporter({ url: target }))];
  const spans = new BasicTracerProvider({ resource, spanProcessors });
  return {
    error: (name, error) => {
      const span = spans.getTracer("shop").startSpan(name);
      if (ways.includes("spans")) span.recordException(error);
      if (ways.includes("logs")) {
        logs.getLogger("shop").emit({
          severityNumber: SeverityNumber.ERROR,
          body: `${name} failed`,
          attributes: { "exception.type": error.name, "exception.message": error.message, "exception.stacktrace": error.stack },
          context: trace.setSpan(context.active(), span),
        });
      }
      span.end();
    },
    end: () => Promise.all([logs.shutdown(), spans.shutdown()]),
  };
}
