import type { ServiceDefinition, UntypedServiceImplementation } from "@grpc/grpc-js";
import { AnaxError, invariant } from "../../base/errors.ts";
import { bidi, serverStream, unary, type BidiHandler, type ServerStreamHandler, type UnaryHandler } from "./handlers.ts";
import type { AnyMethod, BidiMethod, ServerStreamMethod, UnaryMethod } from "./method.ts";
import type { OpenCalls } from "./open-calls.ts";

/** The handler that fits a generated method. */
export type HandlerOf<M> =
  M extends UnaryMethod<infer Req, infer Res>
    ? UnaryHandler<Req, Res>
    : M extends ServerStreamMethod<infer Req, infer Res>
      ? ServerStreamHandler<Req, Res>
      : M extends BidiMethod<infer Req, infer Res>
        ? BidiHandler<Req, Res>
        : never;

/** Handlers of a generated service; a method without one answers UNIMPLEMENTED. */
export type HandlersOf<S> = { readonly [M in keyof S]?: HandlerOf<S[M]> };

/** A service ready to be put on a server. */
export interface GrpcService {
  /** "scheduler.v2.Scheduler". */
  readonly name: string;
  readonly definition: ServiceDefinition;
  /** What grpc-js calls; built per server, since each counts its own calls. */
  implement(calls: OpenCalls): UntypedServiceImplementation;
}

/** Joins a generated service (`SchedulerService`) with the handlers of a room. */
export function serviceOf<S extends object>(service: S, handlers: HandlersOf<S>): GrpcService {
  // Generated services are records of methods; their mapped types are for callers, here each is one of three shapes.
  const methods = Object.entries(service) as [string, AnyMethod][];
  const handlerOf = handlers as Readonly<Record<string, unknown>>;
  return {
    name: nameOf(methods),
    definition: Object.fromEntries(methods.map(([key, method]) => [key, asBytes(method)])),
    implement: (calls) => Object.fromEntries(methods.map(([key, method]) => [key, implemented(calls, method, handlerOf[key])])),
  };
}

/** A service of which nothing is offered: every method answers UNIMPLEMENTED and says so. */
export const unimplementedOf = (service: object): GrpcService => serviceOf(service, {});

function implemented(calls: OpenCalls, method: AnyMethod, handler: unknown) {
  const refuse = (): never => {
    throw new AnaxError("rpc.unimplemented", { method: method.path });
  };
  if (!method.responseStream)
    return unary(calls, method as UnaryMethod<never, unknown>, (handler ?? refuse) as UnaryHandler<never, unknown>);
  if (!method.requestStream)
    return serverStream(calls, method as ServerStreamMethod<never, unknown>, (handler ?? refuse) as ServerStreamHandler<never, unknown>);
  // The handler is async, so that refusing rejects like any other failure.
  const refuseStream = async (): Promise<void> => refuse();
  return bidi(calls, method as BidiMethod<never, unknown>, (handler ?? refuseStream) as BidiHandler<never, unknown>);
}

const same = (bytes: Buffer): Buffer => bytes;

/** The method as grpc-js sees it: messages are bytes, coded in handlers.ts. */
function asBytes(method: AnyMethod) {
  const { path, requestStream, responseStream } = method;
  invariant(responseStream || !requestStream, "no service has a method where only the caller streams");
  return {
    path,
    requestStream,
    responseStream,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
}

function nameOf(methods: readonly (readonly [string, AnyMethod])[]): string {
  const name = methods[0]?.[1].path.split("/")[1];
  invariant(name !== undefined, "a service has at least one method");
  return name;
}
