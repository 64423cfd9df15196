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
import { coded } from "../../src/register/register.conformance.ts";
import { damageRecords } from "../kit/damage-records.ts";
import { LossyStore } from "../kit/lossy-store.ts";
import { freePort } from "../kit/process.ts";
import { REGISTER_ENGINES, type EngineKind, type RegisterEngine } from "../kit/register-engines.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

// Metadata of volumes on every engine that they are kept in, the real ones: what each must do, and what it does when the engine or the way to it fails.

const PATIENT_MS = 30_000; // far beyond what an engine takes, on a machine that does much else
/** In place of a session. */
const COLLECTOR = 0;
const NEW_VOLUME = { capacityBytes: 0, inodesMax: 0, readOnly: false, uid: 0, gid: 0, permissions: 0o755 };

for (const kind of REGISTER_ENGINES) {
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
    await stores[0]!.drop([]);
    assert.deepEqual((await stores[1]!.fetch({ wants: [], groups: ["g"] })).versions, [""]);
  });
}
