import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { BucketFault } from "./s3-bucket.ts";

/** Every so many requests (of the method) fail like this; without `fault`, none any more. */
export interface BucketOrder {
  readonly fault?: BucketFault;
  readonly method?: string;
  readonly every?: number;
}

/** Until now. */
export interface BucketSeen {
  readonly requests: number;
  /** Content of objects. */
  readonly givenBytes: number;
}

export interface BucketServer extends AsyncDisposable {
  readonly endpoint: string;
  /** Holds from when it resolves. */
  order(order: BucketOrder): Promise<BucketSeen>;
}

/** `startS3Bucket` in a process of its own. */
export async function startBucketServer(): Promise<BucketServer> {
  const server = fork(join(import.meta.dirname, "s3-bucket-process.ts"), { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const [{ endpoint }] = (await once(server, "message")) as [{ endpoint: string }]; // of s3-bucket-process.ts
  return {
    endpoint,
    async order(order) {
      server.send(order);
      const [seen] = (await once(server, "message")) as [BucketSeen]; // as above
      return seen;
    },
    async [Symbol.asyncDispose]() {
      if (server.exitCode !== null) return;
      const exited = once(server, "exit");
      server.disconnect();
      await exited;
    },
  };
}
