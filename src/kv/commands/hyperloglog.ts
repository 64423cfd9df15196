import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError } from "../command-error.ts";
import type { Address } from "../keyspace/arena.ts";
import {
  describeRuns,
  emptyHyperLogLog,
  estimateOf,
  HyperLogLog,
  hyperLogLogOf,
  isHyperLogLog,
  keepEstimate,
  keptEstimateOf,
  registersOf,
} from "../types/hyperloglog.ts";
import { keyAt, keysFrom, type Command } from "./command.ts";

const corrupted = (): CommandError => new CommandError("INVALIDOBJ Corrupted HLL object detected");

const pfadd: Command = {
  name: "pfadd",
  arity: -2,
  flags: ["write", "denyoom", "fast"],
  group: "hyperloglog",
  summary: "Adds elements to what is counted.",
  since: "2.8.9",
  keys: keyAt(1, "RW", "insert"),
  run(client, request) {
    const { db } = client;
    let address = checked(client, client.findString(request, 1));
    let changed = address === 0;
    if (changed) address = db.setStringText(request.text(1), emptyHyperLogLog());
    const kept = db.isRaw(address) || db.objectOf(address) !== undefined;
    const counted = new HyperLogLog(
      kept ? db.stringOf(address) : db.resizeString(address, db.stringBytesOf(address)),
      sparseBytesMax(client),
    );
    const inPlace = counted.dense;
    for (let i = 2; i < request.count; i++) {
      const added = counted.add(request.bytes, request.offsets[i]!, request.lengths[i]!);
      if (added === undefined) throw corrupted();
      changed ||= added;
    }
    if (changed) {
      counted.invalidate();
      if (!inPlace) db.changeString(db.find(request, 1), counted.bytes, true);
      client.wrote(request, 1, "$", "pfadd");
    }
    client.reply.integer(changed ? 1 : 0);
  },
};

const pfcount: Command = {
  name: "pfcount",
  arity: -2,
  flags: ["readonly", "may_replicate"],
  group: "hyperloglog",
  summary: "Nearly how many different elements were added to one, or to several together.",
  since: "2.8.9",
  keys: keysFrom(1, 1, "RW", "access"),
  run(client, request) {
    if (request.count > 2) return client.reply.integer(estimateOf(union(client, request, 1).registers));
    const { db } = client;
    const address = checked(client, client.readString(request, 1));
    if (address === 0) return client.reply.integer(0);
    const kept = keptEstimateOf(db.stringOf(address));
    if (kept !== undefined) return client.reply.integer(kept);
    const registers = registersOf(db.stringOf(address));
    if (registers === undefined) throw corrupted();
    const estimate = estimateOf(registers);
    keepEstimate(db.stringOf(address), estimate);
    // The string has changed, though nobody is told of an event.
    client.store.dirty++;
    if (client.store.watchful) client.store.keyChanged(db, request.text(1), client);
    client.reply.integer(estimate);
  },
};

const pfmerge: Command = {
  name: "pfmerge",
  arity: -2,
  flags: ["write", "denyoom"],
  group: "hyperloglog",
  summary: "Adds to one what was added to others.",
  since: "2.8.9",
  keys: [...keyAt(1, "RW", "access", "insert"), ...keysFrom(2, 1, "RO", "access")],
  run(client, request) {
    const { db } = client;
    const { registers, dense } = union(client, request, 1);
    const merged = new HyperLogLog(hyperLogLogOf(registers, dense ? 0 : sparseBytesMax(client)), sparseBytesMax(client));
    merged.invalidate();
    const address = db.find(request, 1);
    db.changeString(address === 0 ? db.setStringText(request.text(1), EMPTY) : address, merged.bytes, true);
    client.wrote(request, 1, "$", "pfadd");
    client.reply.ok();
  },
};

const EMPTY = Buffer.alloc(0);

/** Of all from this key on the greatest value of each register, and whether one of them is dense. */
function union(client: Client, request: Request, index: number): { readonly registers: Uint8Array; readonly dense: boolean } {
  const { db } = client;
  const greatest = registersOf(emptyHyperLogLog())!; // a whole one
  let dense = false;
  for (let i = index; i < request.count; i++) {
    const address = checked(client, client.readString(request, i));
    if (address === 0) continue;
    const bytes = db.stringOf(address);
    dense ||= describeRuns(bytes) === undefined;
    const registers = registersOf(bytes);
    if (registers === undefined) throw corrupted();
    for (let register = 0; register < registers.length; register++)
      if (registers[register]! > greatest[register]!) greatest[register] = registers[register]!;
  }
  return { registers: greatest, dense };
}

const pfdebug: Command = {
  name: "pfdebug",
  arity: 3,
  flags: ["write", "denyoom", "admin"],
  group: "hyperloglog",
  summary: "Shows how what is counted is kept.",
  since: "2.8.9",
  keys: keyAt(2, "RW", "access"),
  run(client, request) {
    const { db, reply } = client;
    const address = checked(client, client.findString(request, 2));
    if (address === 0) throw new CommandError("ERR The specified key does not exist");
    const runs = describeRuns(db.stringOf(address));
    switch (request.word(1)) {
      case "encoding":
        return reply.simple(runs === undefined ? "dense" : "sparse");
      case "decode":
        if (runs === undefined) throw new CommandError("ERR HLL encoding is not sparse");
        return reply.bulk(runs);
      case "todense":
        return reply.integer(makeDense(client, request, address) ? 1 : 0);
      case "getreg": {
        makeDense(client, request, address);
        const registers = registersOf(db.stringOf(db.find(request, 2)))!; // it is dense
        reply.array(registers.length);
        for (const value of registers) reply.integer(value);
        return;
      }
      default:
        throw new CommandError(`ERR Unknown PFDEBUG subcommand '${request.text(1)}'`);
    }
  },
};

/** False where it was dense. */
function makeDense(client: Client, request: Request, address: Address): boolean {
  const counted = new HyperLogLog(client.db.stringOf(address), sparseBytesMax(client));
  if (counted.dense) return false;
  if (!counted.makeDense()) throw corrupted();
  client.db.changeString(address, counted.bytes, true);
  client.store.dirty++;
  if (client.store.watchful) client.store.keyChanged(client.db, request.text(2), client);
  return true;
}

const SELF_TEST_ELEMENTS = 100_000;
/** Of the estimate: six standard errors for 16,384 registers. */
const SELF_TEST_ERROR = (6 * 1.04) / 128;

const pfselftest: Command = {
  name: "pfselftest",
  arity: 1,
  flags: ["admin"],
  group: "hyperloglog",
  summary: "Checks that what is counted is counted well.",
  since: "2.8.9",
  run(client) {
    const sparse = new HyperLogLog(emptyHyperLogLog(), sparseBytesMax(client));
    const dense = new HyperLogLog(emptyHyperLogLog(), 0);
    dense.makeDense();
    const element = Buffer.alloc(8);
    for (let count = 1, next = 1; count <= SELF_TEST_ELEMENTS; count++) {
      element.writeDoubleLE(Math.random());
      for (const each of [sparse, dense]) each.add(element, 0, element.length);
      if (count < next) continue;
      next *= 10;
      const [a, b] = [sparse, dense].map(({ bytes }) => estimateOf(registersOf(bytes)!)); // both are whole
      if (a !== b) throw new CommandError("ERR TESTFAILED dense/sparse disagree");
      if (Math.abs(a! - count) > Math.ceil(SELF_TEST_ERROR * count))
        throw new CommandError(`ERR TESTFAILED Too big error. card:${count} abserr:${Math.abs(a! - count)}`);
    }
    client.reply.ok();
  },
};

/** The same address, if it is 0 or that of a HyperLogLog. */
function checked(client: Client, address: Address): Address {
  if (address !== 0 && !isHyperLogLog(client.db.stringOf(address)))
    throw new CommandError("WRONGTYPE Key is not a valid HyperLogLog string value.");
  return address;
}

const sparseBytesMax = (client: Client): number => client.store.parameters["hll-sparse-max-bytes"];

export const HYPERLOGLOG_COMMANDS: readonly Command[] = [pfadd, pfcount, pfdebug, pfmerge, pfselftest];
