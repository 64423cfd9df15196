import type { Log, LogFields } from "../../src/base/log.ts";

/** What the suite waits for in the log, in Redis' words. */
const LINES: Readonly<Record<string, (fields: LogFields) => string | undefined>> = {
  "store.failover-forced": ({ host, port }) => `FAILOVER to ${host as string}:${port as number} time out exceeded, failing over.`,
  "store.failover-aborted": ({ reason }) => `FAILOVER aborted: ${reason as string}`,
  "store.replica-silent": ({ state }) => `Disconnecting timedout replica ${state === "online" ? "(streaming sync)" : "(full sync)"}`,
  "store.primary-resumed": () => "Successful partial resynchronization with master.",
  "store.synced": () => "MASTER <-> REPLICA sync: Finished with success",
};

/** Writes what the store logs as the suite reads it; what Redis has no words for, as it is. */
export const REDIS_LOG: Log = { error: write, warn: write, info: write, debug: () => undefined, child: () => REDIS_LOG };

function write(event: string, fields: LogFields = {}): void {
  console.log(`${process.pid}:M * ${LINES[event]?.(fields) ?? `${event} ${JSON.stringify(fields, shown)}`}`);
}

const shown = (_: string, value: unknown): unknown => (value instanceof Error ? value.message : value);
