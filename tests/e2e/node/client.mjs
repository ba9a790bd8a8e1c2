// A TypeScript or JavaScript backend as it would call imaging: @grpc/grpc-js on the protos themselves.
//
//   node client.mjs '{"address": "127.0.0.1:50051", "protos": DIR, "googleapis": DIR, "scenario": "photo", "photo": FILE}'
//
// Prints one JSON document. Scenarios: photo (through every rpc), errors (what is refused), quota (until it is refused).

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

import { refusing } from "./rich.mjs";

const settings = JSON.parse(process.argv[2]);
const definition = protoLoader.loadSync("souk/imaging/v1/imaging.proto", {
  includeDirs: [settings.protos],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { ImagingService } = grpc.loadPackageDefinition(definition).souk.imaging.v1;
const client = new ImagingService(settings.address, grpc.credentials.createInsecure());
const refused = refusing(settings.googleapis);

const unary = (method, request) =>
  new Promise((resolve, reject) =>
    client[method](request, (error, response) => (error ? reject(error) : resolve(response))),
  );

async function upload(spec, pieces) {
  let call;
  const answer = new Promise((resolve, reject) => {
    call = client.UploadImage((error, response) => (error ? reject(error) : resolve(response.image)));
  });
  answer.catch(() => {}); // it is awaited below; the server may end the call before
  const send = (message) => new Promise((resolve) => (call.write(message) ? resolve() : call.once("drain", resolve)));
  const ended = answer.then(
    () => true,
    () => true,
  );
  let offset = 0;
  await send({ spec });
  for await (const data of pieces) {
    if (await Promise.race([ended, send({ chunk: { write_offset: offset, data } })])) break;
    offset += data.length;
  }
  call.end({ finish: { size_bytes: offset } });
  return answer;
}

const collect = (call) =>
  new Promise((resolve, reject) => {
    const messages = [];
    call.on("data", (message) => messages.push(message));
    call.on("error", reject);
    call.on("end", () => resolve(messages));
  });

async function photo() {
  const pieces = createReadStream(settings.photo, { highWaterMark: 256 * 1024 });
  const image = await upload({ owner: "node", tags: ["e2e"], wait_for: "WAIT_FOR_ALL_VARIANTS" }, pieces);
  const { image_id } = image;
  const got = (await unary("GetImage", { image_id })).image;
  const watched = await collect(client.WatchImage({ image_id }));
  const listed = (await unary("ListImages", { owner: "node", tags: ["e2e"] })).images;
  const accept = "image/avif,image/webp,*/*";
  const { variant } = await unary("SelectVariant", { image_id, accept, width: 300, device_pixel_ratio: 2 });
  const parts = await collect(client.DownloadVariant({ image_id, variant_name: variant.name }));
  const data = Buffer.concat(parts.slice(1).map((part) => part.chunk.data));
  await unary("DeleteImage", { image_id });
  const after = await refused(unary("GetImage", { image_id }));
  return {
    image: { ...image, original: { ...image.original, sha256: image.original.sha256.toString("hex") } },
    got: got.variants.map(({ name }) => name),
    watched: watched.map(({ image: { state } }) => state),
    listed: listed.map((each) => each.image_id),
    variant,
    header: parts[0].header.name,
    downloaded: { size_bytes: data.length, sha256: createHash("sha256").update(data).digest("hex") },
    after,
  };
}

async function errors() {
  return {
    missing: await refused(unary("GetImage", { image_id: "0".repeat(26) })),
    fields: await refused(unary("ListImages", { owner: "no spaces", page_size: 1000, tags: ["bad tag"] })),
    profile: await refused(upload({ profile: "nope" }, [Buffer.from("x")])),
    text: await refused(upload({ owner: "node" }, Array(40).fill(Buffer.alloc(256 * 1024, "not a photo ")))),
  };
}

async function quota() {
  for (let calls = 0; calls < 100; calls += 1) {
    const error = await refused(unary("ListImages", {}));
    if (error) return error;
  }
  return null;
}

const scenarios = { photo, errors, quota };
console.log(JSON.stringify(await scenarios[settings.scenario]()));
client.close();
