// Errors of calls with their google.rpc details, as JSON.

import path from "node:path";

import grpc from "@grpc/grpc-js";
import protobuf from "protobufjs";

// refusing(FOLDER of googleapis) -> promise of a call -> what it was refused with, or null
export function refusing(googleapis) {
  const rich = richErrors(googleapis);
  return async (promise) => {
    try {
      await promise;
      return null;
    } catch (error) {
      const details = error.metadata?.get("grpc-status-details-bin")[0];
      return {
        code: grpc.status[error.code],
        message: error.details,
        pushback: error.metadata?.get("grpc-retry-pushback-ms")[0] ?? null,
        ...(details ? rich(details) : {}),
      };
    }
  };
}

function richErrors(googleapis) {
  const root = new protobuf.Root();
  root.resolvePath = (_, target) => path.join(googleapis, target);
  root.loadSync(["google/rpc/status.proto", "google/rpc/error_details.proto"]);
  const status = root.lookupType("google.rpc.Status");
  const plain = { longs: Number, defaults: true };
  return (bytes) => {
    const decoded = status.decode(bytes);
    const details = decoded.details.map(({ type_url, value }) => {
      const type = root.lookupType(type_url.split("/").pop());
      return [type.name, type.toObject(type.decode(value), plain)];
    });
    return { status: { code: decoded.code, message: decoded.message }, details };
  };
}
