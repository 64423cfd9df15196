import { DatabaseError, Pool, type PoolClient, type QueryResult } from "pg";
import { NotSent, Refused, type Engine } from "./engine.ts";
import { NO_CELL, type Cell } from "./register.ts";

const CONNECTIONS_MAX = 4;
/** SQLSTATE of what failed without having changed anything, and would fail again: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const REFUSALS = /^(0A|22|23|25|28|3D|42|53|54)/;
/** Two sessions made the table at the same moment. */
const MADE_MEANWHILE = /^(23505|42P07)$/;

const TABLE = "CREATE TABLE IF NOT EXISTS anax_register (name text PRIMARY KEY, version bigint NOT NULL, value text NOT NULL)";
const READ = "SELECT version, value FROM anax_register WHERE name = $1";
const INSERT = "INSERT INTO anax_register (name, version, value) VALUES ($1, 1, $2) ON CONFLICT DO NOTHING";
const UPDATE = "UPDATE anax_register SET version = version + 1, value = $2 WHERE name = $1 AND version = $3";

/** A table in a database, `postgres://user@host/database`. */
export function openPostgres(url: string, timeoutMs: number): Engine {
  const pool = new Pool({
    connectionString: url,
    max: CONNECTIONS_MAX,
    connectionTimeoutMillis: timeoutMs,
    statement_timeout: timeoutMs,
    // A database may be set up to confirm what is not on disk yet.
    options: "-c synchronous_commit=on",
  });
  pool.on("error", () => undefined); // an idle connection has broken; the next call makes another
  pool.on("connect", (connection) => void connection.on("error", () => undefined)); // the call that is under way hears of it
  let hasTable = false;
  let ended: Promise<void> | undefined;

  /** One connection, in the hands of this call alone until its answer has come; closed when it does not come. */
  const withConnection = async <T>(signal: AbortSignal, work: (query: Query) => Promise<T>): Promise<T> => {
    const connection = await pool.connect().catch((cause: unknown) => {
      if (cause instanceof DatabaseError && REFUSALS.test(cause.code ?? "")) throw new Refused(cause.message, { cause });
      throw new NotSent((cause as Error).message, { cause });
    });
    let left = false;
    const leave = (broken: boolean): void => {
      if (!left) connection.release(broken);
      left = true;
    };
    const onAbort = (): void => leave(true);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      if (signal.aborted) throw new NotSent("the time was over before there was a connection");
      if (!hasTable) await makeTable(connection);
      hasTable = true;
      const result = await work((text, values) => connection.query(text, values));
      leave(false);
      return result;
    } catch (error) {
      leave(true);
      if (error instanceof DatabaseError && REFUSALS.test(error.code ?? "")) throw new Refused(error.message, { cause: error });
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  };

  return {
    address: addressOf(url),
    read: (name, signal) => withConnection(signal, (query) => readCell(query, name)),
    compareAndSet: (name, { expected, value }, signal) =>
      withConnection(signal, async (query) => {
        const { rowCount } = expected === 0 ? await query(INSERT, [name, value]) : await query(UPDATE, [name, value, String(expected)]);
        if (rowCount === 1) return { kind: "set", version: expected + 1 };
        return { kind: "conflict", current: await readCell(query, name) };
      }),
    [Symbol.asyncDispose]: () => (ended ??= pool.end()),
  };
}

type Query = (text: string, values: string[]) => Promise<QueryResult<{ version: string; value: string }>>;

async function readCell(query: Query, name: string): Promise<Cell> {
  const [row] = (await query(READ, [name])).rows;
  return row === undefined ? NO_CELL : { version: Number(row.version), value: row.value };
}

async function makeTable(connection: PoolClient): Promise<void> {
  await connection.query(TABLE).catch((error: unknown) => {
    if (error instanceof DatabaseError && MADE_MEANWHILE.test(error.code ?? "")) return;
    if (error instanceof DatabaseError) throw error;
    throw new NotSent((error as Error).message, { cause: error });
  });
}

function addressOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `postgres://${host}${pathname}`;
}
