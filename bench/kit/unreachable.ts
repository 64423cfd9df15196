// Loaded into a process before its own code: whom it may not reach on this machine refuses it. BENCH_UNREACHABLE: ports, divided by commas.
// So a chain of daemons stays a chain whatever their scheduler offers and however they connect.
import { Socket } from "node:net";

/** Nobody listens there, so the kernel says no, as it would for a machine that is down. */
const CLOSED_PORT = 1;

const unreachable = new Set((process.env["BENCH_UNREACHABLE"] ?? "").split(",").map(Number));
const plain = Reflect.get(Socket.prototype, "connect") as (...args: unknown[]) => Socket;

Socket.prototype.connect = function connect(this: Socket, ...args: unknown[]): Socket {
  return Reflect.apply(plain, this, args.map(redirected));
};

/** Node normalizes arguments to an array of options and callback before it calls; programs call with options. */
function redirected(argument: unknown): unknown {
  if (Array.isArray(argument)) return Object.assign(argument.map(redirected), symbolsOf(argument));
  if (typeof argument !== "object" || argument === null || !("port" in argument)) return argument;
  return unreachable.has(Number(argument.port)) ? { ...argument, host: "127.0.0.1", port: CLOSED_PORT } : argument;
}

const symbolsOf = (from: object): object =>
  Object.fromEntries(Object.getOwnPropertySymbols(from).map((key) => [key, Reflect.get(from, key)]));
