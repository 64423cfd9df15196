/**
 * Address of a worker's module beside the one at `from` (`import.meta.url`): a `.ts` file when the sources run directly, `.js` in the
 * built package. The compiler rewrites import paths but not texts, so the extension is taken from the caller's own.
 */
export const workerUrlOf = (name: string, from: string): URL => new URL(`./${name}${from.endsWith(".ts") ? ".ts" : ".js"}`, from);
