import { once } from "node:events";
import { connect as connectHttp2, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import { connect } from "node:net";

/** A client of containerd's CRI (`runtime.v1`), as a kubelet is one, for the few calls that tests need. */
export interface CriClient extends Disposable {
  /** `containerd 1.6.20` */
  version(): Promise<string>;
  /** Pulls an image; resolves with its reference, the image's configuration digest. */
  pullImage(image: string): Promise<string>;
  /** Runs an empty pod in the network of the machine; resolves with its id. */
  runPod(name: string): Promise<string>;
  /** Makes a container in a pod and starts it where the kernel lets it. */
  startContainer(wanted: { readonly pod: string; readonly name: string; readonly image: string }): Promise<"running" | "created">;
  /** Ends it, with its containers. */
  removePod(pod: string): Promise<void>;
}

type Fields = ReadonlyMap<number, number | Buffer>;

export function openCri(socket: string): CriClient {
  const session = connectHttp2("http://localhost", { createConnection: () => connect(socket) });
  session.on("error", () => undefined); // each call reports it
  return {
    async version() {
      const fields = await call(session, "RuntimeService/Version", Buffer.alloc(0));
      return `${String(fields.get(2))} ${String(fields.get(3))}`;
    },
    async pullImage(image) {
      const fields = await call(session, "ImageService/PullImage", bytesField(1, bytesField(1, Buffer.from(image))));
      return String(fields.get(1));
    },
    async runPod(name) {
      const fields = await call(session, "RuntimeService/RunPodSandbox", bytesField(1, podConfig(name)));
      return String(fields.get(1));
    },
    async startContainer({ pod, name, image }) {
      const config = [bytesField(1, text(1, name)), bytesField(2, text(1, image))];
      const request = [text(1, pod), bytesField(2, Buffer.concat(config)), bytesField(3, podConfig(name))];
      const id = String((await call(session, "RuntimeService/CreateContainer", Buffer.concat(request))).get(1));
      return call(session, "RuntimeService/StartContainer", text(1, id)).then(
        () => "running",
        () => "created",
      );
    },
    async removePod(pod) {
      await call(session, "RuntimeService/StopPodSandbox", text(1, pod));
      await call(session, "RuntimeService/RemovePodSandbox", text(1, pod));
    },
    [Symbol.dispose]: () => session.destroy(),
  };
}

/** A pod's configuration: its name and uid, and that it has the network of the machine. */
function podConfig(name: string): Buffer {
  const metadata = Buffer.concat([text(1, name), text(2, `${name}-uid`), text(3, "default")]);
  const onNode = bytesField(1, Buffer.concat([varint(1 << 3), varint(2)]));
  return Buffer.concat([bytesField(1, metadata), bytesField(8, bytesField(2, onNode))]);
}

const text = (field: number, value: string): Buffer => bytesField(field, Buffer.from(value));

/** One unary gRPC call over HTTP/2 (a five byte prefix before each message, the status in the trailers). */
async function call(session: ClientHttp2Session, method: string, message: Buffer): Promise<Fields> {
  const stream = session.request({
    ":method": "POST",
    ":path": `/runtime.v1.${method}`,
    "content-type": "application/grpc",
    te: "trailers",
  });
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  let status: IncomingHttpHeaders = {};
  stream.on("response", (headers) => (status = headers));
  stream.on("trailers", (headers) => (status = headers));
  stream.end(Buffer.concat([prefix, message]));
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(stream, "end");
  const code = String(status["grpc-status"]);
  if (code !== "0") throw new Error(`${method}: status ${code}, ${decodeURIComponent(String(status["grpc-message"] ?? ""))}`);
  return fieldsOf(Buffer.concat(chunks).subarray(prefix.length));
}

// --- Protocol Buffers, as far as strings and numbers go

function varint(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  bytes.push(value >>> (7 * bytes.length));
  return Buffer.from(bytes);
}

const bytesField = (field: number, value: Buffer): Buffer => Buffer.concat([varint((field << 3) | 2), varint(value.length), value]);

function fieldsOf(message: Buffer): Fields {
  const fields = new Map<number, number | Buffer>();
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = message[at++] ?? 0;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = next();
    const value = next(); // the number itself, or the length of what follows
    const isNumber = (key & 7) === 0;
    fields.set(key >>> 3, isNumber ? value : message.subarray(at, at + value));
    if (!isNumber) at += value;
  }
  return fields;
}
