import { mkdtempSync, mkdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diskErrorOf } from "../../disk/disk-error.ts";
import type { Store } from "../store.ts";

/**
 * Where files are, as `dir` says. A store that was given none keeps nothing beyond its end: what it is asked to write goes to a directory of its own that goes
 * with it.
 */
export class DataDirectory implements Disposable {
  readonly #store: Store;
  /** It goes with the store. */
  #temporary: string | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Files outlive the store. */
  get lasts(): boolean {
    return this.#store.parameters.dir !== "" && this.#store.parameters.dir !== this.#temporary;
  }

  /** Throws `disk.full`, `disk.io`. */
  get path(): string {
    const { parameters } = this.#store;
    try {
      if (parameters.dir === "") parameters.dir = this.#temporary = mkdtempSync(join(tmpdir(), "anax-store-"));
      else mkdirSync(parameters.dir, { recursive: true });
    } catch (error) {
      throw diskErrorOf(error, { path: parameters.dir });
    }
    return parameters.dir;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    if (this.#temporary !== undefined) rmSync(this.#temporary, { recursive: true, force: true });
  }
}
