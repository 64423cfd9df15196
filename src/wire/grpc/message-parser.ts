import { AnaxError } from "../../base/errors.ts";

/** A flag, and the length in big endian. */
const HEAD_BYTES = 5;

/** A message as gRPC puts it into the body of a request or an answer. */
export function frameMessage(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(HEAD_BYTES + message.length);
  framed.writeUInt8(0, 0);
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, HEAD_BYTES);
  return framed;
}

export interface MessageParser {
  /** Takes the next bytes of a body as they came and returns the messages that are complete. Throws `rpc.internal`, `rpc.resource-exhausted`. */
  feed(chunk: Uint8Array): readonly Buffer[];
  /** True inside of a message: a body must not end here. */
  readonly broken: boolean;
}

/** Holds one message at most between calls; its length is judged before there is memory for it. */
export function createMessageParser(bytesMax: number): MessageParser {
  const head = Buffer.alloc(HEAD_BYTES);
  let headBytes = 0;
  let message: Buffer | undefined;
  let messageBytes = 0;

  const lengthOf = (): number => {
    const length = head.readUInt32BE(1);
    if (head[0] !== 0) throw new AnaxError("rpc.internal", { reason: "a compressed message, which nobody asked for" });
    if (length > bytesMax) throw new AnaxError("rpc.resource-exhausted", { reason: "a message longer than is taken", length, bytesMax });
    return length;
  };

  return {
    feed(chunk) {
      const messages: Buffer[] = [];
      for (let at = 0; at < chunk.length || message?.length === messageBytes;) {
        if (message === undefined) {
          const part = chunk.subarray(at, at + HEAD_BYTES - headBytes);
          head.set(part, headBytes);
          headBytes += part.length;
          at += part.length;
          if (headBytes === HEAD_BYTES) message = Buffer.allocUnsafe(lengthOf());
        } else {
          const part = chunk.subarray(at, at + message.length - messageBytes);
          message.set(part, messageBytes);
          messageBytes += part.length;
          at += part.length;
          if (messageBytes < message.length) continue;
          messages.push(message);
          message = undefined;
          headBytes = messageBytes = 0;
        }
      }
      return messages;
    },
    get broken() {
      return headBytes > 0;
    },
  };
}
