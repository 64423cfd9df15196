import { randomUUID } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { outputErrorOf } from "../../disk/disk-error.ts";
import { putInPlace } from "../../disk/export-file.ts";
import { writeStdout } from "../output.ts";

/** Where content that comes through the socket goes. */
export interface Sink extends AsyncDisposable {
  write(bytes: Uint8Array): Promise<void>;
  /** All is there: it may be seen now. */
  commit(): Promise<void>;
}

/** Standard output, or a file beside the output that becomes it at the end: whoever looks there sees nothing or all of it. */
export async function openSink(output: string, overwrite: boolean): Promise<Sink> {
  if (output === "-") return { write: writeStdout, commit: async () => undefined, [Symbol.asyncDispose]: async () => undefined };
  const target = resolve(output);
  const partial = join(dirname(target), `.${basename(target).slice(0, 100)}.${randomUUID()}.part`);
  const ours = async <T>(work: Promise<T>): Promise<T> =>
    work.catch((thrown: unknown) => Promise.reject(outputErrorOf(thrown, { output })));
  const file = await ours(open(partial, "wx", 0o666));
  return {
    write: (bytes) => ours(file.writeFile(bytes)), // appends, and goes on after a short write
    async commit() {
      await ours(file.sync());
      await ours(putInPlace({ to: target, overwrite }, partial));
    },
    async [Symbol.asyncDispose]() {
      await file.close();
      await rm(partial, { force: true });
    },
  };
}
