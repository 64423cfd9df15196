import { constants } from "node:os";
import type { AttributeChange, Attributes, TimeValue } from "../attributes.ts";
import { FILE_BYTES_MAX, INLINE_BYTES_MAX, type Blob, type FileMap, type NewBlob } from "../extents.ts";
import type { Errno, Outcome, WrittenContent } from "../verbs.ts";
import { changed, modified, stampOf, touched, type Engine, type Stamp } from "./engine.ts";
import type { Extents } from "./extents.ts";
import type { Leases } from "./leases.ts";
import { blocksOf, type Node } from "./tables.ts";

const { EFBIG, EINVAL, EIO, EISDIR, ENOENT } = constants.errno;

/** By then every mount has flushed what it committed. */
const SYNCED_AFTER_MS = 60_000;

/** Sizes, attributes, and where content lies. */
export class Content {
  readonly #engine: Engine;
  readonly #extents: Extents;
  readonly #leases: Leases;

  constructor(engine: Engine, extents: Extents, leases: Leases) {
    this.#engine = engine;
    this.#extents = extents;
    this.#leases = leases;
  }

  extents(ino: number, offset: number, length: number): FileMap | Errno {
    this.#engine.group.read();
    this.#leases.mustBeFree(ino);
    const node = this.#engine.nodes.get(ino);
    if (node === undefined) return ENOENT;
    if (node.kind !== "file") return node.kind === "directory" ? EISDIR : EINVAL;
    if (node.allocated === 0) return { size: node.size, inline: undefined, extents: [] };
    const inline = node.allocated <= INLINE_BYTES_MAX ? this.#inlineOf(ino) : undefined;
    return { size: node.size, inline, extents: inline === undefined ? this.#extents.read(ino, offset, offset + length) : [] };
  }

  /** Blobs that other sessions committed so lately that the disk may not have them yet. */
  foreignBlobs(ino: number): readonly Blob[] {
    const { group, clock, sessionId, blobs } = this.#engine;
    group.read();
    return group.volume.sessions > 1 ? blobs.foreign(ino, sessionId, clock.wallMs() - SYNCED_AFTER_MS) : [];
  }

  setattr(ino: number, change: AttributeChange): Attributes | Errno {
    const { group, nodes, clock } = this.#engine;
    const refused = group.change(false);
    if (refused !== 0) return refused;
    this.#leases.mustBeFree(ino);
    const before = nodes.get(ino);
    if (before === undefined) return ENOENT;
    const stamp = stampOf(clock);
    let node: Node = change.ctime === undefined ? touched(before, stamp) : changed(before, change.ctime);
    if (change.size !== undefined) {
      const refusedSize = sizeError(node, change.size);
      if (refusedSize !== 0) return refusedSize;
      this.#contentChanged(ino);
      node = this.#resized({ ...node, mtimeSec: stamp.sec, mtimeNsec: stamp.nsec }, change.size);
    }
    if (change.permissions !== undefined) node = { ...node, mode: (node.mode & ~0o7777) | (change.permissions & 0o7777) };
    if (change.uid !== undefined || change.gid !== undefined) node = { ...node, uid: change.uid ?? node.uid, gid: change.gid ?? node.gid };
    const atime = timeOf(change.atime, stamp);
    if (atime !== undefined) node = { ...node, atimeSec: atime.sec, atimeNsec: atime.nsec };
    const mtime = timeOf(change.mtime, stamp);
    if (mtime !== undefined) node = { ...node, mtimeSec: mtime.sec, mtimeNsec: mtime.nsec };
    return nodes.put(node);
  }

  reserveBlobs(blobs: readonly NewBlob[]): readonly number[] | Errno {
    const { group, clock, sessionId, blobs: ledger } = this.#engine;
    const refused = group.change(true);
    if (refused !== 0) return refused;
    const nowMs = clock.wallMs();
    const ids = blobs.map((blob) => {
      const id = group.takeId();
      ledger.reserve(id, blob, sessionId, nowMs);
      return id;
    });
    group.settle(false);
    return ids;
  }

  commit(ino: number, written: WrittenContent): Attributes | Errno {
    const { group, nodes, usage, clock } = this.#engine;
    const refused = group.change(true);
    if (refused !== 0) return refused;
    this.#leases.mustBeFree(ino);
    if (!this.#leases.mayCommit) return EIO;
    const node = nodes.get(ino);
    if (node === undefined) return ENOENT;
    const wrong = sizeError(node, written.size) || contentError(written);
    if (wrong !== 0) return wrong;
    const { inline, extents = [] } = written;
    if (!extents.every(({ blobId }) => this.#extents.mayRefer(blobId))) return EIO;
    const added = inline?.length ?? extents.reduce((sum, { length }) => sum + length, 0);
    const replaced =
      inline !== undefined || this.#isInline(node)
        ? node.allocated
        : extents.reduce((sum, { position, length }) => sum + this.#extents.covered(ino, position, position + length), 0);
    const full = usage.charge(node.parent, added - replaced, 0);
    if (full !== 0) return full;
    this.#replace(node, written, clock.wallMs());
    this.#contentChanged(ino);
    if (written.release === true) this.#leases.drop([ino]);
    const mtime = timeOfMs(written.mtimeMs);
    const allocated = node.allocated + added - replaced;
    return nodes.put({
      ...(later(mtime, node) ? changed(node, mtime) : node),
      mtimeSec: mtime.sec,
      mtimeNsec: mtime.nsec,
      size: Math.max(node.size, written.size),
      allocated,
      blocks: blocksOf(allocated),
    });
  }

  punch(ino: number, offset: number, length: number): Attributes | Errno {
    const { group, nodes, usage, clock } = this.#engine;
    const refused = group.change(false);
    if (refused !== 0) return refused;
    this.#leases.mustBeFree(ino);
    const node = nodes.get(ino);
    if (node === undefined) return ENOENT;
    const wrong = sizeError(node, 0);
    if (wrong !== 0) return wrong;
    const data = this.#isInline(node) ? this.#inlineOf(ino) : undefined;
    if (data !== undefined) this.#engine.inline.put(ino, data.fill(0, offset, offset + length));
    const freed = data === undefined ? this.#extents.clear(ino, offset, offset + length, clock.wallMs()) : 0;
    usage.charge(node.parent, -freed, 0);
    this.#contentChanged(ino);
    return nodes.put(withAllocated(modified(node, stampOf(clock)), node.allocated - freed));
  }

  allocate(ino: number, offset: number, length: number, keepSize: boolean): Attributes | Errno {
    const { group, nodes, usage, clock } = this.#engine;
    const refused = group.change(true);
    if (refused !== 0) return refused;
    this.#leases.mustBeFree(ino);
    const node = nodes.get(ino);
    if (node === undefined) return ENOENT;
    const wrong = sizeError(node, offset + length);
    if (wrong !== 0) return wrong;
    const missing = length - (this.#isInline(node) ? 0 : this.#extents.covered(ino, offset, offset + length));
    const full = usage.charge(node.parent, missing, 0) || usage.charge(node.parent, -missing, 0);
    if (full !== 0) return full;
    this.#contentChanged(ino);
    const size = keepSize ? node.size : Math.max(node.size, offset + length);
    return nodes.put({ ...modified(node, stampOf(clock)), size });
  }

  /** Removes at most so many extents of a file without names, and its inline data; true when nothing is left. */
  removeSome(node: Node, extentsMax: number): boolean {
    if (node.allocated === 0) return true;
    if (this.#isInline(node) && this.#engine.inline.remove(node.ino)) {
      this.#freed(node, node.allocated);
      return true;
    }
    const { freed, all } = this.#extents.removeSome(node.ino, extentsMax, this.#engine.clock.wallMs());
    this.#freed(node, freed);
    return all;
  }

  /** Of what this session holds the others have nothing. */
  #contentChanged(ino: number): void {
    if (!this.#leases.holds(ino)) this.#engine.changes.content(ino);
  }

  #freed(node: Node, bytes: number): void {
    this.#engine.usage.charge(node.parent, -bytes, 0);
    this.#engine.nodes.put(withAllocated(node, node.allocated - bytes));
  }

  #replace(node: Node, { inline, extents = [] }: WrittenContent, nowMs: number): void {
    if (inline !== undefined) {
      if (!this.#isInline(node)) this.#extents.clear(node.ino, 0, FILE_BYTES_MAX, nowMs);
      this.#engine.inline.put(node.ino, inline);
      return;
    }
    if (extents.length > 0 && this.#isInline(node)) this.#engine.inline.remove(node.ino);
    for (const extent of extents) {
      this.#extents.clear(node.ino, extent.position, extent.position + extent.length, nowMs);
      this.#extents.add(node.ino, extent, nowMs);
    }
  }

  #resized(node: Node, size: number): Node {
    if (size >= node.size || node.allocated === 0) return { ...node, size };
    const data = this.#isInline(node) ? this.#inlineOf(node.ino) : undefined;
    let freed: number;
    if (data === undefined) freed = this.#extents.clear(node.ino, size, FILE_BYTES_MAX, this.#engine.clock.wallMs());
    else {
      freed = Math.max(0, data.length - size);
      if (freed === data.length) this.#engine.inline.remove(node.ino);
      else if (freed > 0) this.#engine.inline.put(node.ino, data.subarray(0, size));
    }
    this.#engine.usage.charge(node.parent, -freed, 0);
    return withAllocated({ ...node, size }, node.allocated - freed);
  }

  #isInline(node: Node): boolean {
    return node.allocated > 0 && node.allocated <= INLINE_BYTES_MAX && this.#inlineOf(node.ino) !== undefined;
  }

  #inlineOf(ino: number): Uint8Array | undefined {
    return this.#engine.inline.get(ino);
  }
}

function sizeError(node: Node, size: number): Outcome {
  if (node.kind !== "file") return node.kind === "directory" ? EISDIR : EINVAL;
  if (!Number.isSafeInteger(size) || size < 0) return EINVAL;
  return size > FILE_BYTES_MAX ? EFBIG : 0;
}

function contentError({ size, inline, extents }: WrittenContent): Outcome {
  if ((inline === undefined) === (extents === undefined)) return EINVAL;
  if (inline !== undefined) return inline.length > 0 && inline.length <= INLINE_BYTES_MAX && inline.length <= size ? 0 : EINVAL;
  let end = 0;
  for (const { position, length } of extents ?? []) {
    if (position < end || length < 1) return EINVAL;
    end = position + length;
  }
  return end <= size ? 0 : EINVAL;
}

const withAllocated = (node: Node, allocated: number): Node => ({ ...node, allocated, blocks: blocksOf(allocated) });

const timeOf = (time: TimeValue | "now" | undefined, now: Stamp): TimeValue | undefined => (time === "now" ? now : time);

/** Whether content was written after the last change: what was written before a chmod may be committed after it. */
const later = ({ sec, nsec }: Stamp, { ctimeSec, ctimeNsec }: Node): boolean => sec > ctimeSec || (sec === ctimeSec && nsec > ctimeNsec);

function timeOfMs(ms: number): Stamp {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: Math.round((ms - sec * 1000) * 1e6) };
}
