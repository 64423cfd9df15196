import { createHash } from "node:crypto";
import { createRandom } from "../../src/base/random.ts";

/** Bytes that follow from a seed: reproducible, cheap at any offset, incompressible, and no two blocks alike. */
export interface GeneratedContent {
  readonly bytes: number;
  readonly seed: number;
}

const BLOCK_BYTES = 64 * 1024;

/** Fills `target` with the content's bytes from `offset` on. */
export function fillGenerated(seed: number, offset: number, target: Uint8Array): void {
  const template = templateOf(seed);
  let done = 0;
  while (done < target.length) {
    const at = offset + done;
    const block = Math.floor(at / BLOCK_BYTES);
    const from = at - block * BLOCK_BYTES;
    const count = Math.min(BLOCK_BYTES - from, target.length - done);
    target.set(template.subarray(from, from + count), done);
    stamp(target, done - from, block);
    done += count;
  }
}

/** The whole content, for small ones. */
export function generate(content: GeneratedContent): Buffer {
  const bytes = Buffer.alloc(content.bytes);
  fillGenerated(content.seed, 0, bytes);
  return bytes;
}

/** Lower-case hex of the whole content, without holding it. */
export function sha256OfGenerated(content: GeneratedContent): string {
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(16 * BLOCK_BYTES);
  for (let offset = 0; offset < content.bytes; offset += buffer.length) {
    const part = buffer.subarray(0, Math.min(buffer.length, content.bytes - offset));
    fillGenerated(content.seed, offset, part);
    hash.update(part);
  }
  return hash.digest("hex");
}

/** Its number in the first eight bytes of each block; `start` is where the block begins in `target`, perhaps before it. */
function stamp(target: Uint8Array, start: number, block: number): void {
  for (let i = 0; i < 8; i++) {
    const index = start + i;
    if (index >= 0 && index < target.length) target[index] = Math.floor(block / 256 ** i) & 0xff;
  }
}

const templates = new Map<number, Uint8Array>();

function templateOf(seed: number): Uint8Array {
  const known = templates.get(seed);
  if (known !== undefined) return known;
  const random = createRandom(seed);
  const template = Uint8Array.from({ length: BLOCK_BYTES }, () => random.below(256));
  if (templates.size >= 64) templates.clear();
  templates.set(seed, template);
  return template;
}
