// This file runs on Node 20: it may use nothing newer, and import nothing that does.

export const NODE_MIN = [24, 12] as const;

export function nodeIsTooOld(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1]);
}
