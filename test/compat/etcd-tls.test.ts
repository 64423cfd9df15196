import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { openStore } from "../../src/volume/meta/records/open-store.ts";
import { createTestCertificate } from "../kit/certificates.ts";
import { REGISTER_ENGINES } from "../kit/register-engines.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

// What a URL of etcd over TLS may say, and what a real one makes of it.

const kind = REGISTER_ENGINES.find(({ name }) => name === "etcd over TLS")!; // it is among them
const UUID = "0d0c1d5c-0000-4000-8000-000000000000";

test("etcd over TLS wants the right authority, and the certificate of a client", { skip: kind.lack() ?? false }, async () => {
  await using dir = await temporaryDirectory();
  await mkdir(join(dir.path, "etcd"));
  const engine = await kind.prepare(join(dir.path, "etcd"));
  await using _running = await engine.run();
  const good = engine.urlOn(engine.port);
  assert.deepEqual(await asked(good), { versions: [""], found: [] });
  const other = join(dir.path, "other.pem");
  await writeFile(other, createTestCertificate(["127.0.0.1"]).ca);
  const [address = "", query = ""] = good.split("?");
  const { cacert = "", cert = "", key = "" } = Object.fromEntries(new URLSearchParams(query));
  for (const [url, why] of [
    [good.replace(cacert, other), "another authority"],
    [good.replace("127.0.0.1", "localhost"), "a name that the certificate lacks"],
    [address, "one that only the system knows"],
    [`${address}?cacert=${cacert}`, "no certificate"],
    [good.replace("etcds:", "etcd:").split("?")[0]!, "no TLS"], // split never gives an empty list
  ] as const)
    await assert.rejects(asked(url), { code: "volume.unreachable" }, why);
  for (const [url, part] of [
    [`${address}?cacert=/missing.pem`, "cacert"],
    [`${address}?cacert=${key}&cert=${cert}`, "belong together"],
    [`${address}?cacert=${cacert}&cert=${cert}&key=${cacert}`, "reason"],
    [`${address}?cacer=${cacert}`, "cacert"],
    [`${address.replace("etcds:", "etcd:")}?cacert=${cacert}`, "etcds://"],
  ] as const)
    await assert.rejects(
      asked(url),
      (error: { code: string; message: string }) => error.code === "config.invalid" && error.message.includes(part),
      url,
    );
});

const asked = async (url: string): Promise<unknown> => {
  await using store = await openStore(url, UUID, realClock);
  return await store.fetch({ wants: [], groups: ["v"] });
};
