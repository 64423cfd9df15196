import { readFileSync } from "node:fs";
import { z } from "zod";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import { replaceFile } from "../../disk/atomic-replace.ts";
import { SLOT_COUNT } from "../keyspace/key-slot.ts";

const id = z.string().regex(/^[0-9a-f]{40}$/);
const slots = z
  .array(
    z.tuple([
      z
        .int()
        .min(0)
        .max(SLOT_COUNT - 1),
      id,
    ]),
  )
  .max(SLOT_COUNT);
const NodeFileForm = z.strictObject({
  format: z.literal(1),
  id,
  /** The newest slot map that it has seen, and whose. */
  seen: z.strictObject({ cluster: id, epoch: z.int().min(0) }),
  migrating: slots,
  importing: slots,
  /** Slots that were once the node's: ranges as text. */
  had: z.string().default(""),
});

/** What a node knows without the register: who it is, which map it must not fall behind, and which slots are on their way by CLUSTER SETSLOT. */
export type NodeFile = z.output<typeof NodeFileForm>;

/** Undefined: there is none yet. Throws `disk.corrupt` for one that is damaged, or is Redis' own. */
export function readNodeFile(path: string): NodeFile | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if (systemCodeOf(cause) === "ENOENT") return undefined;
    throw new AnaxError("disk.io", { path }, { cause });
  }
  try {
    return NodeFileForm.parse(JSON.parse(text));
  } catch (cause) {
    throw new AnaxError("disk.corrupt", { path, reason: "not the file of a node of this store" }, { cause });
  }
}

/** Writes what `content` says by then, one write at a time; what is asked for during one follows with the next. */
export class NodeFileWriter {
  readonly #path: string;
  readonly #content: () => NodeFile;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(path: string, content: () => NodeFile) {
    this.#path = path;
    this.#content = content;
  }

  /** Resolves when what is so now is on disk. Rejects with `disk.full`, `disk.io`. */
  write(): Promise<void> {
    if (this.#next !== undefined) return this.#next;
    if (this.#running === undefined) return this.#start();
    this.#next = this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        return this.#start();
      });
    return this.#next;
  }

  #start(): Promise<void> {
    const running = replaceFile(this.#path, `${JSON.stringify(this.#content())}\n`).finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }
}
