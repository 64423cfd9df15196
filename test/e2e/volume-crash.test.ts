import assert from "node:assert/strict";
import { test } from "node:test";
import { unmountable } from "../kit/mounted-volume.ts";
import { REGISTER_ENGINES } from "../kit/register-engines.ts";
import { crashRounds } from "../volume/crash/rounds.ts";

// A few rounds of `npm run test:volume-crash`.

const lackOf = (meta: string): string | undefined => REGISTER_ENGINES.find(({ name }) => name === meta)?.lack();

for (const { meta, rounds } of [
  { meta: "sqlite", rounds: 3 },
  { meta: "PostgreSQL", rounds: 2 },
])
  test(
    `kill -9 at any moment loses nothing that fsync has confirmed, with metadata in ${meta}`,
    {
      skip: unmountable() ?? lackOf(meta) ?? false,
    },
    async () => {
      const { problems, acknowledged, kills: _kills, ...counts } = await crashRounds({ rounds, seed: 7, meta });
      assert.deepEqual(problems, []);
      assert.deepEqual(counts, { rounds, lost: 0, fsckProblems: 0, strangers: 0, hung: 0, left: 0 });
      assert.ok(acknowledged >= rounds);
    },
  );
