import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { formatRecords } from "../../src/volume/meta/records/format-records.ts";
import { openStore } from "../../src/volume/meta/records/open-store.ts";
import { ledgerConformance, type LedgerFixture } from "../../src/volume/meta/ledger.conformance.ts";
import { openRecordControl } from "../../src/volume/meta/records/record-control.ts";
import { RecordLedger } from "../../src/volume/meta/records/record-ledger.ts";
import { openRecordVerbs } from "../../src/volume/meta/records/record-verbs.ts";
import { StoreHere } from "../../src/volume/meta/records/store-here.ts";
import type { EngineVerbs } from "../../src/volume/meta/rules/verbs-on.ts";
import { lossyVerbsConformance, verbsConformance, type LossyFixture, type VolumeLimits } from "../../src/volume/meta/verbs.conformance.ts";
import { failed, ROOT_INO } from "../../src/volume/meta/verbs.ts";
import { coded } from "../../src/register/register.conformance.ts";
import { damageRecords } from "../kit/damage-records.ts";
import { FaultyStore } from "../kit/faulty-store.ts";
import { LossyStore } from "../kit/lossy-store.ts";
import { freePort } from "../kit/process.ts";
import { DISTINCT_ENGINES, type EngineKind, type RegisterEngine } from "../kit/register-engines.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

// Metadata of volumes on every engine that they are kept in, the real ones: what each must do, and what it does when the engine or the way to it fails.

const PATIENT_MS = 30_000; // far beyond what an engine takes, on a machine that does much else
/** Groups: more than libraries of some engines take as arguments. */
const MANY = 70_000;
/** In place of a session. */
const COLLECTOR = 0;
const NEW_VOLUME = { capacityBytes: 0, inodesMax: 0, readOnly: false, uid: 0, gid: 0, permissions: 0o755 };

for (const kind of DISTINCT_ENGINES) {
  const lack = kind.lack();
  if (lack === undefined) conformance(kind);
  else test(`metadata of volumes in ${kind.name}`, { skip: lack }, () => undefined);
}

function conformance(kind: EngineKind): void {
  const scope = new AsyncDisposableStack();
  let engine: RegisterEngine;
  before(async () => {
    engine = await kind.prepare(scope.use(await temporaryDirectory()).path);
    const running = await engine.run();
    scope.defer(() => running[Symbol.asyncDispose]());
  });
  after(() => scope.disposeAsync());

  const aVolume = async (limits: VolumeLimits = {}): Promise<LossyFixture & LedgerFixture> => {
    await using opened = new AsyncDisposableStack();
    const [uuid, url] = [randomUUID(), engine.urlOn(engine.port)];
    await using store = await openStore(url, uuid, realClock, PATIENT_MS);
    await formatRecords(store, { ...NEW_VOLUME, ...limits, uuid }, "", realClock);
    const control = opened.use(await openRecordControl(await openStore(url, uuid, realClock, PATIENT_MS), realClock));
    const owned = opened.move();
    const open = async (sessionId: number): Promise<EngineVerbs> =>
      owned.use(openRecordVerbs({ store: await StoreHere.open(url, uuid, PATIENT_MS), sessionId, clock: realClock }));
    return {
      control,
      open,
      ledger: async () =>
        owned.use(
          new RecordLedger({
            store: await openStore(url, uuid, realClock, PATIENT_MS),
            clock: realClock,
            openVerbs: () => open(COLLECTOR),
          }),
        ),
      async damage(damage) {
        await using store2 = await openStore(url, uuid, realClock, PATIENT_MS);
        await damageRecords(store2, damage);
      },
      async openLossy(sessionId) {
        const lossy = new LossyStore(await StoreHere.open(url, uuid, PATIENT_MS));
        const verbs = owned.use(openRecordVerbs({ store: lossy, sessionId, clock: realClock }));
        return { verbs, lose: (loss) => lossy.lose(loss) };
      },
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  };
  verbsConformance(kind.name, aVolume);
  lossyVerbsConformance(kind.name, aVolume);
  ledgerConformance(kind.name, aVolume);

  test(`${kind.name}: nobody listens, or nothing is known of the volume: unreachable, which is no proof of anything`, async () => {
    const nobody = await openStore(engine.urlOn(await freePort()), randomUUID(), realClock);
    await assert.rejects(openRecordControl(nobody, realClock), coded("volume.unreachable"));
    await nobody[Symbol.asyncDispose]();
    const unknown = await openStore(engine.urlOn(engine.port), randomUUID(), realClock);
    await assert.rejects(openRecordControl(unknown, realClock), coded("volume.unreachable"));
    await using ledger = new RecordLedger({
      store: unknown,
      clock: realClock,
      openVerbs: () => assert.fail("nothing is there to be collected"),
    });
    await assert.rejects(ledger.check(1), coded("volume.unreachable"));
    await assert.rejects(ledger.recount(), coded("volume.unreachable"));
    await using here = await StoreHere.open(engine.urlOn(await freePort()), randomUUID());
    assert.throws(() => here.fetch({ wants: [], groups: ["v"] }), coded("volume.unreachable"));
  });

  for (const fault of ["killed", "killed after it", "answer lost", "made late"] as const)
    test(`${kind.name}: after a repair that is ended anywhere (${fault}) the next one makes everything right`, async () => {
      await using volume = await aVolume();
      const url = engine.urlOn(engine.port);
      const uuid = volume.control.volumeUuid;
      const verbs = await volume.open(1);
      const made = await verbs.create(ROOT_INO, "f", { kind: "file", permissions: 0o644, uid: 0, gid: 0 });
      const ids = await verbs.reserveBlobs([{ sha256: "ab".repeat(32), bytes: 5 }]);
      assert.ok(!failed(made) && !failed(ids));
      const extents = [{ position: 0, length: 5, blobId: ids[0]!, blobOffset: 0 }]; // one was reserved
      assert.ok(!failed(await verbs.commit(made.ino, { size: 5, mtimeMs: 0, extents })));
      await using whole = await volume.ledger();
      for (let at = 0, met = true; met; at++) {
        await volume.damage({
          blobs: [{ id: ids[0]!, refs: 7 }], // the same
          nodes: [{ ino: made.ino, nlink: 3, allocated: 50 }],
          used: { bytes: 9, inodes: 9 },
        });
        met = false;
        const store = new FaultyStore(await openStore(url, uuid, realClock, PATIENT_MS), (call) => {
          met ||= call === at;
          return call === at ? fault : undefined;
        });
        await using broken = new RecordLedger({ store, clock: realClock, openVerbs: () => assert.fail("a repair collects nothing") });
        await broken.recount().catch((error: unknown) => assert.ok(coded("volume.unreachable")(error)));
        await whole.recount();
        await store.lateCommit();
        assert.deepEqual(await whole.check(10), [], `call ${at}`);
      }
    });

  test(`${kind.name}: of commits that have read the same, one is made; all of it or nothing`, async () => {
    const [uuid, url] = [randomUUID(), engine.urlOn(engine.port)];
    await using scope1 = new AsyncDisposableStack();
    const stores = await Promise.all(Array.from({ length: 4 }, async () => scope1.use(await openStore(url, uuid, realClock, PATIENT_MS))));
    const key = "all bytes: \x01\x7f\x80\xff";
    let made = 0;
    for (let round = 0; round < 5; round++) {
      const { versions, found } = await stores[0]!.fetch({ wants: [{ group: "g", key }], groups: ["g"] });
      assert.equal(found[0]?.[0]?.[1], round === 0 ? undefined : "\0value\xff");
      const outcomes = await Promise.all(
        stores.map((store, index) =>
          store.commit({
            checks: [["g", versions[0] ?? ""]],
            stamp: `${round}-${index}`,
            touched: ["g"],
            gone: [],
            puts: [
              ["g", key, "\0value\xff"],
              ["~index", `${round}-${index}`, ""],
            ],
            removes: [["~index", `${round - 1}-${index}`]],
          }),
        ),
      );
      made += outcomes.filter(Boolean).length;
    }
    assert.equal(made, 5);
    const last = await stores[0]!.fetch({ wants: [{ group: "~index", key: "0", to: "9", countMax: 10 }], groups: ["g"] });
    assert.ok(last.found[0]!.some(([name]) => name === last.versions[0]));
    await stores[0]!.drop([], { group: "g", version: "another one" });
    assert.deepEqual((await stores[1]!.fetch({ wants: [], groups: ["g"] })).versions, last.versions);
    await stores[0]!.drop([], { group: "g", version: last.versions[0]! }); // it was asked for
    assert.deepEqual((await stores[1]!.fetch({ wants: [], groups: ["g"] })).versions, [""]);
  });

  test(`${kind.name}: many records are read as of one moment, while some of them change all the time`, async () => {
    const [uuid, url] = [randomUUID(), engine.urlOn(engine.port)];
    await using store = await openStore(url, uuid, realClock, PATIENT_MS);
    await using writer = await openStore(url, uuid, realClock, PATIENT_MS);
    const put = (groups: readonly string[], value: string): Promise<boolean> =>
      writer.commit({ checks: [], stamp: value, touched: groups, gone: [], puts: groups.map((group) => [group, "k", value]), removes: [] });
    for (let from = 0; from < MANY; from += 1000) {
      const groups = Array.from({ length: 1000 }, (_, index) => `i${from + index}`);
      assert.equal(await put(groups, "same"), true);
    }
    const reading = { ended: false };
    const writing = (async () => {
      for (let round = 0; !reading.ended; round++) {
        assert.equal(await put(["i5", `i${MANY - 5}`, `new${round % 2}`], `round ${round}`), true);
        await writer.commit({ checks: [], stamp: `gone ${round}`, touched: [], gone: [`new${1 - (round % 2)}`], puts: [], removes: [] });
      }
    })();
    const read = new Map<string, string>();
    for await (const [group, key, value] of store.scan()) if (key === "k") read.set(group, value);
    reading.ended = true;
    await writing;
    assert.ok(read.size >= MANY + 1 && read.size <= MANY + 2, String(read.size));
    const [first, last] = [read.get("i5"), read.get(`i${MANY - 5}`)];
    assert.ok(first?.startsWith("round"));
    assert.equal(first, last);
    assert.ok([read.get("new0"), read.get("new1")].includes(first));
    await store.drop([]);
  });
}
