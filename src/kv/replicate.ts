/** Who gets a change: bits that `redis.set_repl` takes. */
export const REPLICATE = { none: 0, journal: 1, replicas: 2, all: 3 } as const;
