import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realClock } from "../../../base/clock.ts";
import { verbsConformance } from "../verbs.conformance.ts";
import { formatSqlite } from "./format.ts";
import { openSqliteControl } from "./sqlite-control.ts";
import { openSqliteVerbs } from "./sqlite-verbs.ts";

const NEW_VOLUME = {
  uuid: "00000000-0000-4000-8000-000000000001",
  capacityBytes: 0,
  inodesMax: 0,
  readOnly: false,
  uid: 0,
  gid: 0,
  permissions: 0o755,
};

verbsConformance("SQLite", async (limits) => {
  const dir = await mkdtemp(join(tmpdir(), "anax-verbs-"));
  const path = join(dir, "meta.sqlite");
  formatSqlite(path, { ...NEW_VOLUME, ...limits }, realClock);
  const control = openSqliteControl(path, realClock);
  const opened: AsyncDisposable[] = [control];
  return {
    control,
    async open(sessionId) {
      const verbs = openSqliteVerbs({ path, sessionId, clock: realClock });
      opened.push(verbs);
      return verbs;
    },
    async [Symbol.asyncDispose]() {
      for (const each of opened) await each[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
});
