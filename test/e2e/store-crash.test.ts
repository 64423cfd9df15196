import assert from "node:assert/strict";
import { test } from "node:test";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { crashOnce } from "../store/crash.ts";

for (const policy of ["always", "everysec", "no"] as const)
  test(`a store that is killed under load has what it acknowledged, with appendfsync ${policy}`, async () => {
    for (let round = 0; round < 3; round++) {
      await using directory = await temporaryDirectory();
      const random = (): number => [0.3, 0.6, 0.9][round]!;
      const acknowledged = await crashOnce({
        dataDir: directory.path,
        policy,
        random,
        clients: 4,
        loadMsMax: policy === "always" ? 200 : 400,
      });
      assert.ok(acknowledged > 0, "there was something to lose");
    }
  });
