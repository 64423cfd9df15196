import assert from "node:assert/strict";
import { test } from "node:test";
import { freePort, waitFor } from "../../../test/kit/process.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { RespClient } from "../../../test/store/resp-client.ts";
import { realClock } from "../../base/clock.ts";
import { openRegister } from "../../register/open-register.ts";
import { startStore, type RunningStore } from "../start-store.ts";

test("MEET waits for a node that has not come to the register yet, and refuses an address where none comes", async () => {
  await using directory = await temporaryDirectory();
  const ports = [await freePort(), await freePort()] as const;
  const start = (node: 0 | 1): Promise<RunningStore> =>
    startStore({
      port: ports[node],
      dataDir: `${directory.path}/${node}`,
      parameters: { "cluster-enabled": true, "cluster-register": `sqlite:${directory.path}/register.db` },
      openRegister: (url, timeoutMs) => openRegister(url, { clock: realClock, timeoutMs }),
    });
  await using first = await start(0);
  using client = await RespClient.connect(ports[0]);
  const meet = (): ReturnType<RespClient["call"]> => client.call("CLUSTER", "MEET", "127.0.0.1", String(ports[1]));

  assert.match(String(await meet()), /No node at/);
  const met = meet();
  await using second = await start(1);
  assert.equal(await met, "OK");
  for (const { store } of [first, second]) await waitFor(() => Promise.resolve(store.cluster!.node.known.length === 2)); // started as a cluster
});
