import { Client, DatabaseError, escapeIdentifier, type QueryResult } from "pg";
import { AnaxError } from "../../../base/errors.ts";
import { bytesOf, textOf } from "./keys.ts";
import { failureOn, type StoreOptions } from "./open-store.ts";
import type { CommitRequest, Fetched, FetchRequest, Held, Pair, RecordStore, StoredRecord } from "./record-store.ts";

const SCHEMA_VERSION = 1;
/** Of pg_advisory_xact_lock, while the schema is made: "anax" and a number. */
const SCHEMA_LOCK = [0x61_6e_61_78, 1];
/** Serialization failure, deadlock: https://www.postgresql.org/docs/current/errcodes-appendix.html */
const OTHERS_FIRST: ReadonlySet<string> = new Set(["40001", "40P01"]);
/** Of a statement that is run again because the engine could not order it. */
const TRIES = 5;
const LISTEN_AGAIN_MS = 1000;
const SCAN_ROWS = 1000;
/** In one statement, so that each ends in time. */
const DROP_ROWS = 10_000;

// A group's version is the record with the empty key. All that a commit compares and changes is one call, in one transaction that is as if there were no other.
const SCHEMA = `
  CREATE TABLE anax_volume_record (
    volume uuid NOT NULL, grp bytea NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (volume, grp, key)
  );
  CREATE FUNCTION anax_volume_commit(
    vol uuid, check_groups bytea[], check_versions bytea[], stamp bytea, touched bytea[], gone bytea[],
    put_groups bytea[], put_keys bytea[], put_values bytea[], remove_groups bytea[], remove_keys bytea[]
  ) RETURNS boolean LANGUAGE plpgsql AS $body$
  BEGIN
    IF current_setting('transaction_isolation') <> 'serializable' THEN
      RAISE EXCEPTION 'transactions must be serializable here, and something between has set them otherwise';
    END IF;
    PERFORM 1 FROM unnest(check_groups, check_versions) AS c (grp, version)
      LEFT JOIN anax_volume_record r ON r.volume = vol AND r.grp = c.grp AND r.key = ''
      WHERE coalesce(r.value, '') <> c.version;
    IF FOUND THEN RETURN false; END IF;
    IF cardinality(gone) > 0 THEN
      DELETE FROM anax_volume_record r USING unnest(gone) AS g (grp) WHERE r.volume = vol AND r.grp = g.grp;
    END IF;
    IF cardinality(remove_groups) > 0 THEN
      DELETE FROM anax_volume_record r USING unnest(remove_groups, remove_keys) AS d (grp, key)
        WHERE r.volume = vol AND r.grp = d.grp AND r.key = d.key;
    END IF;
    INSERT INTO anax_volume_record (volume, grp, key, value)
      SELECT vol, p.grp, p.key, p.value FROM (
        SELECT * FROM unnest(put_groups, put_keys, put_values) AS u (grp, key, value)
        UNION ALL SELECT t.grp, '', stamp FROM unnest(touched) AS t (grp)
      ) AS p ORDER BY p.grp, p.key
      ON CONFLICT (volume, grp, key) DO UPDATE SET value = excluded.value;
    RETURN true;
  END
  $body$;
`;

type Row = { readonly n: number; readonly grp: Buffer; readonly key: Buffer; readonly value: Buffer };

/** Records of one volume in a table of a PostgreSQL database, over one connection, that is made anew when it has broken. */
export class PostgresStore implements RecordStore {
  readonly address: string;
  readonly #url: string;
  readonly #volume: string;
  readonly #timeoutMs: number;
  readonly #clock: StoreOptions["clock"];
  #client: Promise<Client> | undefined;
  /** The one that the promise is of. */
  #newest: Client | undefined;

  constructor(url: string, volume: string, { timeoutMs, clock, address }: StoreOptions) {
    this.#url = url;
    this.#volume = volume;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
    this.address = address;
  }

  async fetch({ wants, groups }: FetchRequest): Promise<Fetched> {
    const points = wants.map((want, n) => ({ ...want, n })).filter(({ to }) => to === undefined);
    const ranges = wants.map((want, n) => ({ ...want, n })).filter(({ to }) => to !== undefined);
    const versions = groups.map((group, index) => ({ group, key: "", n: wants.length + index }));
    const named = [...points, ...versions];
    const values: unknown[] = [
      this.#volume,
      named.map(({ n }) => n),
      named.map(({ group }) => bytesOf(group)),
      named.map(({ key }) => bytesOf(key)),
    ];
    const parts = [
      `SELECT w.n, r.grp, r.key, r.value FROM unnest($2::int[], $3::bytea[], $4::bytea[]) AS w (n, grp, key)
       JOIN anax_volume_record r ON r.volume = $1 AND r.grp = w.grp AND r.key = w.key`,
    ];
    for (const { n, group, key, to, countMax } of ranges) {
      const at = values.length;
      values.push(n, bytesOf(group), bytesOf(key), bytesOf(to!), countMax ?? null); // it is a range
      parts.push(
        `(SELECT $${at + 1}::int, grp, key, value FROM anax_volume_record
          WHERE volume = $1 AND grp = $${at + 2} AND key >= $${at + 3} AND key < $${at + 4} ORDER BY key LIMIT $${at + 5})`,
      );
    }
    const { rows } = await this.#query<Row>(parts.join(" UNION ALL "), values, `fetch-${ranges.length}`);
    const found: Pair[][] = wants.map(() => []);
    const answer: string[] = groups.map(() => "");
    for (const { n, key, value } of rows)
      if (n < wants.length) found[n]!.push([textOf(key), textOf(value)]);
      else answer[n - wants.length] = textOf(value);
    for (const { n } of ranges) found[n]!.sort(([a], [b]) => (a < b ? -1 : 1)); // UNION promises no order
    return { found, versions: answer };
  }

  async commit({ checks, stamp, touched, gone, puts, removes }: CommitRequest): Promise<boolean> {
    const values = [
      this.#volume,
      checks.map(([group]) => bytesOf(group)),
      checks.map(([, version]) => bytesOf(version)),
      bytesOf(stamp),
      touched.filter((group) => !gone.includes(group)).map(bytesOf),
      gone.map(bytesOf),
      puts.map(([group]) => bytesOf(group)),
      puts.map(([, key]) => bytesOf(key)),
      puts.map(([, , value]) => bytesOf(value)),
      removes.map(([group]) => bytesOf(group)),
      removes.map(([, key]) => bytesOf(key)),
    ];
    try {
      const call = "SELECT anax_volume_commit($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS done";
      const { rows } = await this.#query<{ readonly done: boolean }>(call, values, "commit", 1);
      return rows[0]?.done === true;
    } catch (error) {
      if (isOthersFirst(error)) return false;
      throw error;
    }
  }

  async *scan(): AsyncIterable<StoredRecord> {
    const client = await this.#connect();
    try {
      await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
      await client.query(
        "DECLARE records NO SCROLL CURSOR FOR SELECT grp, key, value FROM anax_volume_record WHERE volume = $1 AND key <> ''",
        [this.#volume],
      );
      for (;;) {
        const { rows } = await client.query<Row>(`FETCH ${SCAN_ROWS} FROM records`);
        for (const { grp, key, value } of rows) yield [textOf(grp), textOf(key), textOf(value)];
        if (rows.length < SCAN_ROWS) return;
      }
    } catch (error) {
      throw this.#failed(error);
    } finally {
      this.#client = undefined;
      await client.end().catch(() => undefined); // a connection with an open transaction is of no other use
    }
  }

  async drop(keep: readonly string[], held?: Held): Promise<void> {
    const is = "EXISTS (SELECT FROM anax_volume_record WHERE volume = $1 AND grp = $4 AND key = '' AND value = $5)";
    const some = `SELECT ctid FROM anax_volume_record WHERE volume = $1 AND grp <> ALL ($2) ${held === undefined ? "" : `AND ${is}`} LIMIT $3`;
    const values = [
      this.#volume,
      keep.map(bytesOf),
      DROP_ROWS,
      ...(held === undefined ? [] : [bytesOf(held.group), bytesOf(held.version)]),
    ];
    for (let left = true; left;) {
      const { rowCount } = await this.#query(`DELETE FROM anax_volume_record WHERE ctid = ANY (ARRAY(${some}))`, values);
      left = rowCount === DROP_ROWS;
    }
  }

  async tell(): Promise<void> {
    await this.#query("SELECT pg_notify($1, '')", [this.#channel]);
  }

  /** Over a connection of its own, made anew when it has broken. */
  listen(onTold: () => void): AsyncDisposable {
    const ended = new AbortController();
    const listening = this.#listen(onTold, ended.signal);
    return {
      async [Symbol.asyncDispose]() {
        ended.abort();
        await listening;
      },
    };
  }

  async #listen(onTold: () => void, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const client = this.#newClient();
      const { promise: broken, resolve } = Promise.withResolvers<void>();
      client.on("error", () => resolve());
      client.on("end", resolve);
      client.on("notification", onTold);
      const onAbort = (): void => resolve();
      signal.addEventListener("abort", onAbort);
      try {
        await client.connect();
        await client.query(`LISTEN ${escapeIdentifier(this.#channel)}`);
        onTold(); // what was told before nobody heard
        await broken;
      } catch {
        // once more, after a while
      }
      signal.removeEventListener("abort", onAbort);
      await client.end().catch(() => undefined);
      await this.#clock.sleep(LISTEN_AGAIN_MS, signal).catch(() => undefined);
    }
  }

  get #channel(): string {
    return `anax_volume_${this.#volume}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    this.#client = undefined;
    await client?.end().catch(() => undefined);
  }

  async #query<R extends object>(text: string, values: unknown[], name?: string, tries = TRIES): Promise<QueryResult<R>> {
    for (let left = tries; ; left--) {
      const client = await this.#connect();
      try {
        return await client.query<R>(name === undefined ? { text, values } : { name, text, values });
      } catch (error) {
        if (left > 1 && isOthersFirst(error)) continue;
        throw tries === 1 && isOthersFirst(error) ? error : this.#failed(error);
      }
    }
  }

  async #connect(): Promise<Client> {
    try {
      return await (this.#client ??= this.#open());
    } catch (error) {
      this.#client = undefined;
      throw error;
    }
  }

  async #open(): Promise<Client> {
    const client = this.#newClient();
    this.#newest = client;
    client.on("error", () => {
      if (this.#newest === client) this.#client = undefined;
    });
    try {
      await client.connect();
      // A database may be set up to confirm what is not on disk yet. Said here, as the URL may have `options` of its own.
      await client.query(
        "SET synchronous_commit = on; SET default_transaction_isolation = serializable; SET client_min_messages = warning",
      );
      await migrate(client, this.address);
      return client;
    } catch (error) {
      await client.end().catch(() => undefined);
      throw failureOn(this.address, error);
    }
  }

  #newClient(): Client {
    return new Client({
      connectionString: this.#url,
      connectionTimeoutMillis: this.#timeoutMs,
      query_timeout: this.#timeoutMs,
      statement_timeout: this.#timeoutMs,
      application_name: "anax volume",
      keepAlive: true,
    });
  }

  /** A late answer must not be taken for another's: who has waited in vain takes another connection. */
  #failed(error: unknown): unknown {
    if (!(error instanceof DatabaseError)) void this[Symbol.asyncDispose]();
    return failureOn(this.address, error);
  }
}

const isOthersFirst = (error: unknown): boolean => error instanceof DatabaseError && OTHERS_FIRST.has(error.code ?? "");

/** Makes the schema where there is none. A newer one is refused. */
async function migrate(client: Client, address: string): Promise<void> {
  const versionOf = async (): Promise<number> => {
    const { rows } = await client.query<{ readonly version: number }>("SELECT version FROM anax_volume_schema");
    return rows[0]?.version ?? 0;
  };
  const exists = async (): Promise<boolean> =>
    (await client.query<{ readonly there: boolean }>("SELECT to_regclass('anax_volume_schema') IS NOT NULL AS there")).rows[0]?.there ===
    true;
  if (!(await exists())) {
    await client.query("BEGIN ISOLATION LEVEL READ COMMITTED");
    await client.query("SELECT pg_advisory_xact_lock($1, $2)", SCHEMA_LOCK);
    if (!(await exists())) {
      await client.query(SCHEMA);
      await client.query("CREATE TABLE anax_volume_schema (version int NOT NULL)");
      await client.query("INSERT INTO anax_volume_schema VALUES ($1)", [SCHEMA_VERSION]);
    }
    await client.query("COMMIT");
  }
  const found = await versionOf();
  if (found > SCHEMA_VERSION) throw new AnaxError("disk.newer-format", { address, version: found, supported: SCHEMA_VERSION });
}
