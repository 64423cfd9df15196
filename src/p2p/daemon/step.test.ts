import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "../../base/errors.ts";
import { START, step, type Happening, type Order, type Phase, type Rules } from "./step.ts";

const RULES: Rules = { readsPart: false, disableBackToSource: false, needBackToSource: false, reschedulesMax: 2, registersMax: 3 };
const notFound = new AnaxError("source.not-found", {});
const refused = new AnaxError("rpc.failed-precondition", {});
const noSource = new AnaxError("download.no-source", {});
const unheard = new AnaxError("rpc.not-found", {});

/** What a row of happenings makes a download do, as short text. */
function ordersOf(happenings: readonly Happening[], rules: Partial<Rules> = {}): readonly string[] {
  let phase: Phase = START;
  const orders: string[] = [];
  for (const happening of happenings) {
    const { next, order } = step(phase, happening, { ...RULES, ...rules });
    phase = next;
    if (order !== undefined) orders.push(textOf(order));
  }
  return orders;
}

function textOf(order: Order): string {
  if (order.do === "fail") return `fail ${order.error.code}`;
  return "because" in order ? `${order.do} ${order.because}` : order.do;
}

const lost = (why: "unreachable" | "silent" | "broken"): Happening => ({ on: "scheduler-lost", why });
const parents: Happening = { on: "parents" };
const useless: Happening = { on: "parents-useless" };
const complete: Happening = { on: "complete" };
const told: Happening = { on: "told-source" };

const ROWS: readonly {
  readonly name: string;
  readonly given: readonly Happening[];
  readonly rules?: Partial<Rules>;
  readonly orders: readonly string[];
}[] = [
  { name: "the usual: parents, pieces, done", given: [parents, { on: "piece" }, complete], orders: ["use-parents", "finish"] },
  { name: "more parents are used as they come", given: [parents, parents, complete], orders: ["use-parents", "use-parents", "finish"] },
  { name: "told to read the source", given: [told, complete], orders: ["read-source scheduler-says", "finish"] },
  {
    name: "parents first, then the source",
    given: [parents, told, parents, complete],
    orders: ["use-parents", "read-source scheduler-says", "finish"],
  },
  {
    name: "a seed that is to read at once",
    given: [{ on: "told-source" }],
    rules: { needBackToSource: true },
    orders: ["read-source told-to"],
  },
  {
    name: "a seed whose order came late takes what others have, and reads only when they turn out useless",
    given: [parents, { on: "parents-useless" }],
    rules: { needBackToSource: true },
    orders: ["use-parents", "read-source told-to"],
  },
  {
    name: "a scheduler that has forgotten this host",
    given: [{ on: "scheduler-refused", error: new AnaxError("host.unknown") }],
    orders: ["register"],
  },
  { name: "a seed without a scheduler", given: [lost("unreachable")], rules: { needBackToSource: true }, orders: ["read-source told-to"] },
  { name: "nobody to ask", given: [lost("unreachable")], orders: ["read-source no-scheduler"] },
  { name: "nobody answers", given: [lost("silent")], orders: ["read-source scheduler-silent"] },
  {
    name: "nobody to ask and the source forbidden",
    given: [lost("unreachable")],
    rules: { disableBackToSource: true },
    orders: ["fail download.no-source"],
  },
  { name: "told to read a forbidden source", given: [told], rules: { disableBackToSource: true }, orders: ["fail download.no-source"] },
  { name: "empty content", given: [{ on: "empty-content" }, complete], orders: ["finish-empty", "finish"] },
  {
    name: "a broken stream is opened again, so often",
    given: [lost("broken"), lost("broken"), lost("broken")],
    orders: ["register", "register", "read-source no-scheduler"],
  },
  {
    name: "parents serve on without a scheduler, until they do not",
    given: [parents, lost("unreachable"), { on: "piece" }, complete],
    orders: ["use-parents", "finish"],
  },
  {
    name: "parents that fail without a scheduler",
    given: [parents, lost("unreachable"), useless],
    orders: ["use-parents", "read-source parents-useless"],
  },
  {
    name: "useless parents are given back, so often",
    given: [parents, useless, parents, useless, parents, useless],
    orders: [
      "use-parents",
      "reschedule parents-useless",
      "use-parents",
      "reschedule parents-useless",
      "use-parents",
      "read-source parents-useless",
    ],
  },
  {
    name: "a piece in between makes up for useless parents",
    given: [parents, useless, parents, useless, parents, { on: "piece" }, useless],
    orders: [
      "use-parents",
      "reschedule parents-useless",
      "use-parents",
      "reschedule parents-useless",
      "use-parents",
      "reschedule parents-useless",
    ],
  },
  {
    name: "standing still is reported, and the scheduler decides",
    given: [parents, { on: "no-progress" }],
    orders: ["use-parents", "reschedule no-progress"],
  },
  {
    name: "also by one that reads a part of the source: the rest comes from others",
    given: [told, { on: "no-progress" }],
    rules: { readsPart: true },
    orders: ["read-source scheduler-says", "reschedule no-progress"],
  },
  { name: "who reads all of the source needs nobody", given: [told, { on: "no-progress" }], orders: ["read-source scheduler-says"] },
  { name: "the source said no to somebody else", given: [{ on: "scheduler-refused", error: notFound }], orders: ["fail source.not-found"] },
  {
    name: "peers only, until somebody joins who does not mind",
    given: [{ on: "scheduler-refused", error: noSource }],
    orders: ["read-source scheduler-refused"],
  },
  { name: "a foreign scheduler gives up", given: [{ on: "scheduler-refused", error: refused }], orders: ["read-source scheduler-refused"] },
  { name: "a scheduler that does not know us yet", given: [{ on: "scheduler-refused", error: unheard }], orders: ["register"] },
  {
    name: "a reader whose scheduler restarts registers again and reads on",
    given: [told, lost("broken"), parents, complete],
    orders: ["read-source scheduler-says", "register", "finish"],
  },
  {
    name: "nothing happens after the end",
    given: [{ on: "failed", error: notFound }, parents, complete, told],
    orders: ["fail source.not-found"],
  },
];

for (const { name, given, rules, orders } of ROWS) {
  test(name, () => assert.deepEqual(ordersOf(given, rules), orders));
}
