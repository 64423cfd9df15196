/** Of 1,024 that libuv allows; its own default is 4. */
const THREADS = 16;

/**
 * Gives file operations more threads. One that waits for a busy disk holds its thread, and a flush waits longest: with Node's four, as many
 * finishing downloads would stop every other read and write of the daemon. Flushes that run side by side also share what the disk does for
 * them. Called before the first file operation that is not synchronous; UV_THREADPOOL_SIZE in the environment wins.
 */
export function useMoreFileThreads(env: Record<string, string | undefined>): void {
  env["UV_THREADPOOL_SIZE"] ??= String(THREADS);
}
