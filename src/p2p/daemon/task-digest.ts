import { AnaxError } from "../../base/errors.ts";
import { hasherOf } from "../model/hasher.ts";
import { formatDigest, parseDigest, type Digest } from "../model/piece.ts";
import type { StoredTask } from "../pieces/types.ts";

/** Digests of finished tasks, computed when somebody names one that the task itself does not have; a finished task never changes. */
const computed = new WeakMap<StoredTask, Map<Digest["algorithm"], Promise<string>>>();

/** Makes sure that a finished task has the digest that this caller expects. Throws `task.digest-mismatch`, `input.invalid`. */
export async function expectDigest(stored: StoredTask, expected: string | undefined, signal: AbortSignal): Promise<void> {
  if (expected === undefined) return;
  const wanted = parseDigest(expected);
  const own = stored.meta.digest === undefined ? undefined : parseDigest(stored.meta.digest);
  const actual = own?.algorithm === wanted.algorithm ? own.value : await digestOf(stored, wanted.algorithm, signal);
  mustMatch(stored.meta.id, wanted, actual);
}

/** Throws `task.digest-mismatch`. */
export function mustMatch(task: string, expected: Digest, actual: string): void {
  if (actual === expected.value) return;
  const wrong = formatDigest({ ...expected, value: actual });
  throw new AnaxError("task.digest-mismatch", { task, expected: formatDigest(expected), actual: wrong });
}

function digestOf(stored: StoredTask, algorithm: Digest["algorithm"], signal: AbortSignal): Promise<string> {
  const known = computed.get(stored) ?? new Map<Digest["algorithm"], Promise<string>>();
  computed.set(stored, known);
  const digest = known.get(algorithm) ?? compute(stored, algorithm, signal);
  known.set(algorithm, digest);
  digest.catch(() => known.delete(algorithm)); // whoever asked first may have left: the next one tries again
  return digest;
}

async function compute(stored: StoredTask, algorithm: Digest["algorithm"], signal: AbortSignal): Promise<string> {
  using lease = stored.lease("export");
  void lease;
  const { contentLength } = stored.meta;
  const content = contentLength === 0 ? [] : stored.stream({ start: 0, length: contentLength }, signal);
  const hasher = hasherOf(algorithm);
  for await (const chunk of content) hasher.update(chunk);
  return hasher.value();
}
