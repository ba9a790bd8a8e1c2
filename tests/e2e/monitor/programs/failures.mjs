// Fails in many ways, and prints each as Node prints it and as V8's own call sites, a line of JSON each.
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { EventEmitter } from "node:events";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import vm from "node:vm";
import { gunzipSync } from "node:zlib";

const sites = new WeakMap();
const keepSites = (error, calls) => {
  sites.set(error, calls);
  return [`${error}`, ...calls.map((call) => `    at ${call}`)].join("\n");
};

class OutOfStockError extends Error {
  constructor(message, options) {
    super(message, options);
    this.name = "OutOfStockError";
  }
}
class PaymentError extends Error {
  get name() {
    return "PaymentError";
  }
}
class PlainError extends Error {}

class Cart {
  #items = new Map();
  static open(text) {
    return JSON.parse(text);
  }
  add(item) {
    return item.price.amount;
  }
  get total() {
    return this.missing.total;
  }
  set discount(value) {
    throw new RangeError(`discount ${value} is too large`);
  }
  #hidden() {
    return null.secret;
  }
  reveal() {
    return this.#hidden();
  }
  async pay(card) {
    await null;
    throw new PaymentError(`card ${card} declined`);
  }
  *lines() {
    yield 1;
    throw new OutOfStockError("line 2");
  }
  each(items) {
    return items.map((item) => this.add(item));
  }
}
class Basket extends Cart {
  constructor(size) {
    super();
    if (size > 1) throw new TypeError(`no basket of ${size}`);
  }
  add(item) {
    return super.add(item);
  }
}

function divide(by) {
  return 1n / BigInt(by);
}
function lookUp(orders, id) {
  return orders[id].lines[0];
}
function recurse(depth) {
  return depth ? recurse(depth - 1) : undefined.deep;
}
function even(n) {
  return n ? odd(n - 1) : undefined.even;
}
function odd(n) {
  return even(n - 1);
}
function endless() {
  return endless() + 1;
}
const arrow = (order) => order.total.cents;
const service = { place: (order) => order.id.number, refund: function refundOrder() { throw new RangeError("no refund"); } };

export const failures = {
  property: () => lookUp({}, 12),
  own: () => { throw new OutOfStockError("none of sku 12 is left"); },
  getterName: () => { throw new PaymentError("declined"); },
  plainSubclass: () => { throw new PlainError("of a class without a name"); },
  method: () => new Cart().add({}),
  inherited: () => new Basket(1).add({}),
  constructed: () => new Basket(2),
  accessor: () => new Cart().total,
  setter: () => { new Cart().discount = 99; },
  hidden: () => new Cart().reveal(),
  statics: () => Cart.open("{no json"),
  arrow: () => arrow({}),
  ofObject: () => service.place({}),
  named: () => service.refund(),
  callback: () => new Cart().each([{}]),
  sorted: () => [2, 1].sort((a, b) => lookUp(a, b)),
  generator: () => [...new Cart().lines()],
  bigint: () => divide(0),
  reference: () => nowhere.to.be.found,
  recursion: () => recurse(20),
  mutual: () => even(20),
  endless: () => endless(),
  spread: () => Math.max(...undefined),
  called: () => ({}).place(),
  badUri: () => decodeURIComponent("%"),
  regexp: () => new RegExp("("),
  evaluated: () => (0, eval)("(function ordered() { return undefined.x })()"),
  script: () => vm.runInThisContext("function scripted() { return undefined.y }; scripted()", { filename: "/srv/rules/price.js" }),
  missingFile: () => readFileSync("/nowhere/at/all"),
  badArgument: () => Buffer.alloc("x"),
  replaced: () => "abc".replace(/b/, () => lookUp({}, 1)),
  bound: () => lookUp.bind(null, {}, 3)(),
  emitted: () => new EventEmitter().on("order", function onOrder(order) { arrow(order); }).emit("order", {}),
  caused: () => {
    try { lookUp({}, 12); } catch (error) { throw new OutOfStockError("no order 12", { cause: error }); }
  },
  causedTwice: () => {
    try { failures.caused(); } catch (error) { throw new PaymentError("cannot pay", { cause: error }); }
  },
  aggregate: () => {
    const found = [];
    for (const step of [() => lookUp({}, 1), () => divide(0)]) try { step(); } catch (error) { found.push(error); }
    throw new AggregateError(found, "several");
  },
  awaited: async () => { await new Cart().pay("4242"); },
  anyOf: async () => { await Promise.any([new Cart().pay("1"), (async () => { await null; lookUp({}, 3); })()]); },
  all: async () => { await Promise.all([new Cart().pay("1"), null]); },
  then: () => Promise.resolve({}).then(arrow),
  missingFileLater: async () => { await readFile("/nowhere/at/all"); },
  timer: () => new Promise((_, reject) => setTimeout(function later() { try { arrow({}); } catch (error) { reject(error); } }, 0)),
  nested: () => {
    function outer() { return (function () { return inner(); })(); }
    function inner() { return null.nested; }
    outer();
  },
  withIds: () => { throw new OutOfStockError(`order ${randomUUID()} of ${Date.now()}`); },
  badUrl: () => new URL("no url"),
  badHash: () => createHash("no such hash"),
  asserted: () => assert.deepStrictEqual({ sku: 12, left: 0 }, { sku: 12, left: 1 }),
  circular: () => { const order = {}; order.self = order; JSON.stringify(order); },
  ownJson: () => JSON.stringify({ toJSON: () => lookUp({}, 4) }),
  cloned: () => structuredClone({ place: () => 0 }),
  compressed: () => gunzipSync(Buffer.from("no gzip")),
  missingModule: async () => { await import("./nowhere.mjs"); },
  trapped: () => new Proxy({}, { get: (target, name) => arrow(target, name) }).price,
  iterated: () => [...{ [Symbol.iterator]() { return lookUp({}, 5); } }],
  asyncLines: async () => {
    async function* lines() { yield 1; lookUp({}, 6); }
    for await (const line of lines()) void line;
  },
  settled: async () => {
    for (const { reason } of await Promise.allSettled([new Cart().pay("2")])) throw reason;
  },
  aborted: async () => { AbortSignal.abort().throwIfAborted(); },
  frozen: () => { Object.freeze(service).place = null; },
  destructured: () => { const { id: { number } } = {}; return number; },
  inFinally: () => { try { divide(0); } finally { lookUp({}, 8); } },
  linesOfMessage: () => { throw new Error("first line\n  second: line\n\nlast"); },
  coded: () => { throw Object.assign(new Error("duplicate key value"), { code: "23505" }); },
  renamedLater: () => {
    const error = new Error("card declined");
    void error.stack;
    throw Object.assign(error, { name: "PaymentError", message: `order 7: ${error.message}` });
  },
  unreachable: async () => { await fetch("http://127.0.0.1:2"); },
};

// As Sentry's SDK sends them, the call that was made last last: functions as V8 prints them, with what they were called on.
const framesOf = (error) => {
  void error.stack;
  return (sites.get(error) ?? []).map((call) => ({
    function: /^(?:async )?(.*) \(/.exec(`${call}`)?.[1] ?? "",
    file: call.isNative() ? "native" : call.getFileName() ?? "<anonymous>",
    abs_path: call.isNative() ? "native" : call.getFileName() ?? "<anonymous>",
    line: call.getLineNumber() ?? 0,
  })).reverse();
};

const exceptionsOf = (error) => {
  const listed = [];
  let grouped = false;
  const add = (one, parent, source) => {
    const number = listed.length;
    const told = { type: one.name, value: one.message, frames: framesOf(one), exception_id: number, parent_id: parent, source };
    listed.push(told);
    if (Array.isArray(one.errors)) {
      grouped = told.is_group = true;
      one.errors.forEach((member, index) => add(member, number, `errors[${index}]`));
    }
    if (one.cause instanceof Error) add(one.cause, number, "cause");
  };
  add(error, null, "");
  if (!grouped) for (const told of listed) { delete told.exception_id; delete told.parent_id; }
  return listed.reverse();
};

// Twice: V8 prints its own stacks only where nobody prepares them.
const failed = async (fail, prepare) => {
  Error.prepareStackTrace = prepare;
  try {
    await fail();
  } catch (error) {
    void error.stack;
    return error;
  }
  throw new Error(`${fail} does not fail`);
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  Error.stackTraceLimit = 50;
  for (const [name, fail] of Object.entries(failures)) {
    const printed = await failed(fail, undefined);
    const text = inspect(printed);
    const structured = await failed(fail, keepSites);
    const told = {
      name, platform: "node", type: String(printed.code ?? printed.name), message: printed.message,
      text, exceptions: exceptionsOf(structured), stack: printed.stack,
    };
    Error.prepareStackTrace = undefined;
    console.log(JSON.stringify(told));
  }
}
