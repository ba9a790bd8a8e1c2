// A TypeScript or JavaScript backend as it would call dbopt: @grpc/grpc-js on the protos themselves.
//
//   node db.mjs '{"address": "127.0.0.1:50053", "protos": DIR, "googleapis": DIR}'
//
// Prints one JSON document: what a small shop sees, and what is refused.

import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";

import { refusing } from "./rich.mjs";

const settings = JSON.parse(process.argv[2]);
const definition = protoLoader.loadSync(["souk/dbopt/v1/query.proto", "souk/dbopt/v1/marketplace.proto"], {
  includeDirs: [settings.protos],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { QueryService, MarketplaceService } = grpc.loadPackageDefinition(definition).souk.dbopt.v1;
const credentials = grpc.credentials.createInsecure();
const queries = new QueryService(settings.address, credentials);
const shop = new MarketplaceService(settings.address, credentials);
const refused = refusing(settings.googleapis);

const unary = (client, method, request) =>
  new Promise((resolve, reject) =>
    client[method](request, (error, response) => (error ? reject(error) : resolve(response))),
  );

const collect = (call) =>
  new Promise((resolve, reject) => {
    const messages = [];
    call.on("data", (message) => messages.push(message));
    call.on("error", reject);
    call.on("end", () => resolve(messages));
  });

const struct = (values) => ({
  fields: Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      typeof value === "number" ? { numberValue: value } : { stringValue: value },
    ]),
  ),
});

const page = await unary(shop, "ListProducts", { order: "PRODUCT_ORDER_CHEAPEST", page_size: 3 });
const next = await unary(shop, "ListProducts", {
  order: "PRODUCT_ORDER_CHEAPEST",
  page_size: 3,
  page_token: page.next_page_token,
});
const lines = [{ product_id: page.products[0].product_id, quantity: 2 }];
const order = await unary(shop, "PlaceOrder", { buyer_id: 1, request_id: "node", lines });
const again = await unary(shop, "PlaceOrder", { buyer_id: 1, request_id: "node", lines });
const orders = await unary(shop, "ListOrders", { buyer_id: 1, consistency_token: order.consistency_token });
const product = await unary(queries, "ExecuteQuery", { name: "product.get", parameters: struct({ product_id: 7 }) });
const streamed = await collect(queries.StreamQuery({ name: "product.list_newest", parameters: struct({ page_size: 20 }), batch_size: 8 }));
const wrong = await refused(
  unary(queries, "ExecuteQuery", { name: "product.get", parameters: struct({ product_id: "x", colour: "red" }) }),
);
console.log(
  JSON.stringify({
    pages: [page, next].map(({ products }) => products.map(({ price_cents }) => price_cents)),
    order,
    again,
    orders: orders.orders,
    product: JSON.parse(product.rows)[0],
    batches: streamed.map(({ rows, row_count }) => [JSON.parse(rows).length, row_count]),
    wrong,
  }),
);
queries.close();
shop.close();
