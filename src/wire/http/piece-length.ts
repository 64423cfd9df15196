/** Powers of 1000 and of 1024, by the unit's first letter. */
const POWERS = ["", "k", "m", "g", "t", "p"];

/**
 * A size as upstream reads it (crate `bytesize` 1.3): `4mib` and `4mi` are binary, `4mb` and `4m` decimal; a bare number is bytes.
 * Not `base/units`, where `4M` is binary: the number enters the task id, so that both sides must read the same one. Undefined when it is none.
 */
export function parsePieceLength(text: string): number | undefined {
  const match = /^(\d+\.?\d*|\.\d+)\s*(?:([kmgtp]?)(i?)(b?))$/i.exec(text);
  if (match === null) return undefined;
  const [, amount = "", power = "", binary = "", b = ""] = match;
  const bare = power === "" && b === "";
  if ((power === "" && binary !== "") || (bare && !/^\d+$/.test(text))) return undefined;
  const bytes = Math.trunc(Number(amount) * (binary === "" ? 1000 : 1024) ** POWERS.indexOf(power.toLowerCase()));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
