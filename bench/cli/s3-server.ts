// A bucket with the files of a directory, in a process of its own: what serves must not wait for who measures.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { startS3Origin } from "../../test/kit/s3-origin.ts";

const directory = process.argv[2] ?? ".";
const bucket = Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name))]));
const origin = await startS3Origin({ buckets: { bucket } });
console.log(JSON.stringify({ endpoint: origin.endpoint }));
process.once("SIGTERM", () => void origin[Symbol.asyncDispose]());
