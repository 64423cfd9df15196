import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import { verbsOn, type EngineVerbs } from "../rules/verbs-on.ts";
import { failureOf } from "./failure.ts";
import { openDatabase } from "./schema.ts";
import { createEngine, type EngineOptions, type SqliteEngine } from "./sqlite-engine.ts";

export interface SqliteVerbsOptions {
  /** The file with the metadata of the volume. */
  readonly path: string;
  readonly sessionId: number;
  readonly clock: Clock;
  /** Something was committed that other sessions may wait for. */
  readonly onChanges?: () => void;
}

/**
 * The verbs over a SQLite file that several processes of one machine share. All of them answer at once, and block this thread while they do; while another
 * process writes to the same volume, up to 5 s, then `volume.unreachable`.
 */
export function openSqliteVerbs({ path, sessionId, clock, onChanges = () => undefined }: SqliteVerbsOptions): EngineVerbs {
  const database = openDatabase(path);
  const engine = engineOn(database, { path, sessionId, clock, onChanges });
  const { group } = engine;
  const verbs = verbsOn(engine, group.volume.uuid, (verb) => (a, b, c, d, e) => {
    try {
      return verb(a, b, c, d, e);
    } catch (error) {
      if (isLeased(error)) group.settle(false);
      else group.abandon();
      throw failureOf(error, path);
    }
  });
  verbs.leases.renew();
  return {
    ...verbs,
    asRequest: () => undefined, // no answer is lost here
    async [Symbol.asyncDispose]() {
      if (!database.isOpen) return;
      try {
        group.close();
      } finally {
        database.close();
        group.closeJournal();
      }
    },
  };
}

/** A verb looks for that before it changes anything; who holds the file must be able to commit. */
const isLeased = (error: unknown): boolean => error instanceof AnaxError && error.code === "volume.leased";

function engineOn(database: DatabaseSync, options: Omit<EngineOptions, "database">): SqliteEngine {
  try {
    return createEngine({ database, ...options });
  } catch (error) {
    database.close();
    throw failureOf(error, options.path);
  }
}
