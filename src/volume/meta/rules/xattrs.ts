import { constants } from "node:os";
import type { Errno, Outcome } from "../verbs.ts";
import { stampOf, touched, type Engine } from "./engine.ts";
import type { Leases } from "./leases.ts";

const { E2BIG, EEXIST, EINVAL, ENODATA, ENOENT, ENOSPC, ERANGE } = constants.errno;

const XATTR_CREATE = 1;
const XATTR_REPLACE = 2;
const NAME_MAX = 255;
/** XATTR_SIZE_MAX of Linux. */
const VALUE_MAX = 65_536;
const TOTAL_MAX = 1024 * 1024;

export class Xattrs {
  readonly #engine: Engine;
  readonly #leases: Leases;

  constructor(engine: Engine, leases: Leases) {
    this.#engine = engine;
    this.#leases = leases;
  }

  get(ino: number, name: string): Uint8Array | Errno {
    this.#engine.group.read();
    const value = this.#engine.xattrs.get(ino, name);
    if (value !== undefined) return value;
    return this.#engine.nodes.get(ino) === undefined ? ENOENT : ENODATA;
  }

  set(ino: number, name: string, value: Uint8Array, flags: number): Outcome {
    const refused = this.#engine.group.change(true);
    if (refused !== 0) return refused;
    this.#leases.mustBeFree(ino); // whoever writes to it knows which it has
    if (this.#engine.nodes.get(ino) === undefined) return ENOENT;
    if (name === "" || flags > XATTR_REPLACE) return EINVAL;
    if (name.length > NAME_MAX) return ERANGE;
    if (value.length > VALUE_MAX) return E2BIG;
    const before = this.#engine.xattrs.get(ino, name);
    if (flags === XATTR_CREATE && before !== undefined) return EEXIST;
    if (flags === XATTR_REPLACE && before === undefined) return ENODATA;
    if (this.#engine.xattrs.total(ino) + name.length + value.length > TOTAL_MAX) return ENOSPC;
    this.#engine.xattrs.put(ino, name, value);
    this.#touch(ino);
    return 0;
  }

  list(ino: number): readonly string[] | Errno {
    this.#engine.group.read();
    if (this.#engine.nodes.get(ino) === undefined) return ENOENT;
    return this.#engine.xattrs.list(ino);
  }

  remove(ino: number, name: string): Outcome {
    const refused = this.#engine.group.change(false);
    if (refused !== 0) return refused;
    if (this.#engine.nodes.get(ino) === undefined) return ENOENT;
    if (!this.#engine.xattrs.remove(ino, name)) return ENODATA;
    this.#touch(ino);
    return 0;
  }

  #touch(ino: number): void {
    const { nodes, clock } = this.#engine;
    const node = nodes.get(ino);
    if (node !== undefined) nodes.put(touched(node, stampOf(clock)));
  }
}
