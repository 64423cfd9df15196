import { chmodSync, close, openSync, constants } from "node:fs";
import { chmod, mkdir, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { openDescriptor, preparedOrGone, resize, readFully, syncData, syncDirectory } from "../../disk/descriptor.ts";
import { systemCodeOf, type AnaxError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import type { DiskThread } from "../../disk/disk-thread.ts";
import { QuickWrites } from "../../disk/quick-writes.ts";

const WRITABLE_MODE = 0o644;
/** Nobody writes to finished content: a hard link that was handed out shares the inode, and editing it would edit the cache. */
const FINISHED_MODE = 0o444;
/** To flush more takes the disk so long that small files are not to wait for it. */
const TOGETHER_BYTES_MAX = 1024 * 1024;
/** Calls that follow when the content of a file is on the disk, to make the rest so. */
const AFTER_FLUSH: ReadonlySet<string> = new Set(["open", "fsync", "close", "chmod"]);

/** Open content files, so many at most; the least recently used idle one is closed for a new one. Those in use are never closed. */
export class OpenFiles {
  /** How all of them are written to: they lie on one disk. */
  readonly writes: QuickWrites;
  readonly thread: DiskThread | undefined;
  /** Where small files are made durable. That takes the disk's time and not the processor's, so nobody else waits for it. */
  readonly flusher: DiskThread | undefined;
  readonly #max: number;
  readonly #files = new Set<ContentFile>(); // in order of use

  constructor(options: {
    readonly max: number;
    readonly clock: Clock;
    readonly thread: DiskThread | undefined;
    readonly flusher: DiskThread | undefined;
  }) {
    this.#max = options.max;
    this.flusher = options.flusher;
    this.writes = new QuickWrites(options.clock);
    this.thread = options.thread;
  }

  get size(): number {
    return this.#files.size;
  }

  used(file: ContentFile): void {
    this.#files.delete(file);
    this.#files.add(file);
    if (this.#files.size > this.#max) this.#closeIdle(file);
  }

  closed(file: ContentFile): void {
    this.#files.delete(file);
  }

  #closeIdle(except: ContentFile): void {
    for (const file of this.#files) {
      if (this.#files.size <= this.#max) return;
      if (!file.busy && file !== except) file.close();
    }
  }
}

/** A task's content on disk: opened when needed, kept open while held. */
export class ContentFile {
  readonly path: string;
  readonly #open: OpenFiles;
  #fd: number | undefined;
  #writable: boolean;
  /** Of files made here; after a restart nobody knows. */
  #lengthBytes: number | undefined;
  #holders = 0;
  /** Descriptors that were replaced while somebody was reading through them. */
  #retired: number[] = [];
  /** Why bytes may be missing on the disk. The kernel says so once and takes them for written from then on, so that it has to be remembered. */
  #lost: AnaxError | undefined;

  constructor(options: { readonly path: string; readonly open: OpenFiles; readonly writable: boolean }) {
    this.path = options.path;
    this.#open = options.open;
    this.#writable = options.writable;
  }

  /** Makes a sparse file of this length; a file in its place is given up to those who still have it. Throws `disk.full`, `disk.io`. */
  async create(lengthBytes: number): Promise<void> {
    const fd = await this.#made(lengthBytes).catch((error: unknown) => {
      throw diskErrorOf(error, { path: this.path });
    });
    this.#retire();
    this.#writable = true;
    this.#lost = undefined;
    this.#lengthBytes = lengthBytes;
    this.#fd = fd; // it is about to be written
    this.#open.used(this);
  }

  /**
   * Makes the file with all of its content, as `create` and `write` do. With its last mode from the start: to change that after a flush takes a file system
   * as long as to make a file. Throws `disk.full`, `disk.io`.
   */
  async fill(bytes: Uint8Array): Promise<void> {
    const keeping = this.#open.thread?.tryRun("keep", { path: this.path, bytes, mode: FINISHED_MODE });
    const kept = await keeping?.then(
      () => true,
      () => false, // whatever is in its way, the long way finds out and says
    );
    if (kept === true) {
      this.#writable = false;
      this.#lengthBytes = bytes.length;
      return;
    }
    await this.create(bytes.length);
    await this.write(bytes, 0);
  }

  async #made(lengthBytes: number): Promise<number> {
    // Whatever is in its way, the long way finds out and says.
    const made = await this.#open.thread?.tryRun("make", { path: this.path, lengthBytes, mode: WRITABLE_MODE })?.catch(() => undefined);
    if (made !== undefined) return made;
    const fresh = await openFresh(this.path);
    if (fresh !== undefined) return preparedOrGone(this.path, fresh, () => resize(fresh, lengthBytes));
    const temporary = `${this.path}.new`;
    const flags = constants.O_CREAT | constants.O_TRUNC | constants.O_RDWR;
    const fd = await openDescriptor(temporary, flags, WRITABLE_MODE);
    return preparedOrGone(temporary, fd, async () => {
      await resize(fd, lengthBytes);
      await rename(temporary, this.path);
    });
  }

  /** Valid as long as the file is held. Throws `disk.io`. */
  get fd(): number {
    try {
      this.#fd ??= this.#opened();
    } catch (error) {
      throw diskErrorOf(error, { path: this.path });
    }
    this.#open.used(this);
    return this.#fd;
  }

  /** One short call on a local disk; waiting would make `fd` a promise for all. */
  #opened(): number {
    try {
      return openSync(this.path, this.#writable ? "r+" : "r");
    } catch (error) {
      if (systemCodeOf(error) !== "EACCES" || !this.#writable) throw error;
      chmodSync(this.path, WRITABLE_MODE); // it was complete once, which was not recorded any more
      return openSync(this.path, "r+");
    }
  }

  get busy(): boolean {
    return this.#holders > 0;
  }

  /** Keeps the descriptor open until disposed. */
  hold(): Disposable {
    let held = true;
    this.#holders++;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#holders--;
        if (this.#holders === 0) this.#closeRetired();
      },
    };
  }

  async write(bytes: Uint8Array, positionBytes: number): Promise<void> {
    using _ = this.hold();
    await this.#open.writes.write(this.fd, bytes, positionBytes);
  }

  /** False: it would take waiting, and has to be done by `write`. Throws `disk.full`, `disk.io`. */
  writeNow(bytes: Uint8Array, positionBytes: number): boolean {
    return this.#open.writes.writeSome(this.fd, bytes, positionBytes) === bytes.length;
  }

  async read(into: Uint8Array, positionBytes: number): Promise<number> {
    using _ = this.hold();
    return await readFully(this.fd, into, positionBytes);
  }

  /** Some of what was written may never reach the disk, whatever a later `sync` would say: only a file made anew helps. */
  get lost(): boolean {
    return this.#lost !== undefined;
  }

  /** Brings the bytes and the name to the disk, and lets nobody write to the file any more. Throws `disk.full`, `disk.io`. */
  async seal(): Promise<void> {
    using _ = this.hold();
    if (this.#lost !== undefined) throw this.#lost;
    const flusher = (this.#lengthBytes ?? Infinity) <= TOGETHER_BYTES_MAX ? this.#open.flusher : undefined;
    const sealing = flusher?.tryRun("seal", { path: this.path, fd: this.#fd, mode: this.#writable ? FINISHED_MODE : undefined });
    try {
      if (sealing !== undefined) await sealing;
      else await this.#sealed();
    } catch (error) {
      const { syscall } = error as NodeJS.ErrnoException;
      const reported = diskErrorOf(error, { path: this.path });
      // Unless it is known to be about something else.
      if (sealing !== undefined && !AFTER_FLUSH.has(syscall ?? "")) this.#lost = reported;
      throw reported;
    }
    this.#writable = false;
  }

  /** Resolves to true when `to` is another name of the file; false: that is not to be had in a moment, for whatever reason. */
  async linkTo(to: string): Promise<boolean> {
    const linking = this.#open.thread?.tryRun("link", { from: this.path, to });
    return (
      (await linking?.then(
        () => true,
        () => false,
      )) ?? false
    );
  }

  async #sealed(): Promise<void> {
    const ends = await Promise.allSettled([this.#flush(), syncDirectory(dirname(this.path))]); // the descriptor is held until both are through
    for (const end of ends) if (end.status === "rejected") throw end.reason;
    if (this.#writable) await chmod(this.path, FINISHED_MODE);
  }

  async #flush(): Promise<void> {
    const fd = this.fd;
    try {
      await syncData(fd);
    } catch (error) {
      throw (this.#lost = diskErrorOf(error, { path: this.path }));
    }
  }

  /** Lets the file be written to again. */
  async unseal(): Promise<void> {
    try {
      await chmod(this.path, WRITABLE_MODE);
    } catch (error) {
      throw diskErrorOf(error, { path: this.path });
    }
    if (!this.#writable) this.#retire(); // opened for reading only
    this.#writable = true;
  }

  /** Closes the descriptor, at once or when the last holder lets go; a later use opens it again. */
  close(): void {
    this.#retire();
  }

  #retire(): void {
    if (this.#fd === undefined) return;
    this.#retired.push(this.#fd);
    this.#fd = undefined;
    this.#open.closed(this);
    if (!this.busy) this.#closeRetired();
  }

  #closeRetired(): void {
    const fds = this.#retired.splice(0);
    // The kernel frees the number even when it reports an error, and what mattered was synced: nothing to do about one.
    const closing = this.#open.thread?.tryRun("close", { fds });
    if (closing === undefined) for (const fd of fds) close(fd, () => {});
    else closing.catch(() => undefined);
  }
}

/** A file that was not there; undefined when one is. Directories are few and stay, so that one is looked for only when it is missing. */
async function openFresh(path: string): Promise<number | undefined> {
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR;
  for (let attempt = 1; ; attempt++) {
    try {
      return await openDescriptor(path, flags, WRITABLE_MODE);
    } catch (error) {
      const code = systemCodeOf(error);
      if (code === "EEXIST") return undefined;
      if (code !== "ENOENT" || attempt > 1) throw error;
      await mkdir(dirname(path), { recursive: true });
    }
  }
}
