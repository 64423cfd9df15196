/** One method of a generated service, as ts-proto describes it. */
export interface Method<Req, Res> {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (message: Req) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Req;
  readonly responseSerialize: (message: Res) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Res;
}

export type UnaryMethod<Req, Res> = Method<Req, Res> & { readonly requestStream: false; readonly responseStream: false };
export type ServerStreamMethod<Req, Res> = Method<Req, Res> & { readonly requestStream: false; readonly responseStream: true };
export type BidiMethod<Req, Res> = Method<Req, Res> & { readonly requestStream: true; readonly responseStream: true };

/** A method whose messages are of any type: they are bytes by the time anything here touches them. */
export type AnyMethod = Method<never, unknown>;
