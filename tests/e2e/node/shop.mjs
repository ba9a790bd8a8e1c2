// A shop that fails in the ways that programs fail: chained, grouped, in promises, handled.
export class OrderError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "OrderError";
  }
}

function take(sku) {
  const stock = new Map([["ring", { count: 1 }]]);
  return stock.get(sku).count;
}

export function place(sku) {
  try {
    return take(sku);
  } catch (error) {
    throw new OrderError(`no stock of ${sku}`, { cause: error });
  }
}

async function later(sku) {
  await Promise.resolve();
  return place(sku);
}

export const failures = {
  plain: () => take("lamp"),
  chained: () => place("lamp"),
  grouped: () => Promise.any([later("lamp"), later("rug")]),
  inPromise: () => later("vase"),
};
