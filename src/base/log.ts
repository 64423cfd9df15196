import { pino, type DestinationStream } from "pino";

export type LogLevel = "error" | "warn" | "info" | "debug" | "silent";
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Structured log: a constant dotted event and its fields. error = a person must act; warn = degraded but handled;
 * info = lifecycle; debug = decisions. One failed operation is one line, written by its owner.
 */
export interface Log {
  error(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  debug(event: string, fields?: LogFields): void;
  /** The same log with these fields on every line. */
  child(fields: LogFields): Log;
}

const SECRET_PATHS = [
  "authorization",
  "password",
  "token",
  "secret",
  "accessKeySecret",
  "*.authorization",
  "*.password",
  "*.token",
  "*.secret",
];

/** JSON lines to `destination` (default: standard error). Values under secret-looking keys are never written. */
export function createLog(level: LogLevel, destination?: DestinationStream): Log {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    messageKey: "event",
    redact: { paths: SECRET_PATHS, censor: "[secret]" },
  };
  return wrap(pino(options, destination ?? pino.destination({ fd: 2, sync: true })));
}

function wrap(inner: ReturnType<typeof pino>): Log {
  return {
    error: (event, fields) => inner.error(fields ?? {}, event),
    warn: (event, fields) => inner.warn(fields ?? {}, event),
    info: (event, fields) => inner.info(fields ?? {}, event),
    debug: (event, fields) => inner.debug(fields ?? {}, event),
    child: (fields) => wrap(inner.child(fields)),
  };
}

export const silentLog: Log = createLog("silent");
