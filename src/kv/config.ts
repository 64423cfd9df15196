import { z } from "zod";

export const StoreConfig = z.strictObject({
  enabled: z
    .boolean()
    .default(false)
    .describe("Run the Redis-compatible store in `anax up`, too. Off as long as the store is not complete."),
  listenHost: z.string().optional().describe("Address that the store listens on; default: those of bind in configFile, else 127.0.0.1."),
  port: z
    .int()
    .min(0)
    .max(65_535)
    .optional()
    .describe("TCP port of the store; 0 takes a free one. Default: that of configFile, else 6379."),
  configFile: z.string().optional().describe("A file in the form of redis.conf with parameters of the store."),
  parameters: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean()]))
    .default({})
    .describe("Parameters of the store by their names in redis.conf, such as maxmemory: 1gb; they win over those of the file."),
});
export type StoreConfig = z.output<typeof StoreConfig>;
