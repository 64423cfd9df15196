import assert from "node:assert/strict";
import { test } from "node:test";
import { planEviction, shortageOf, surplusOf, verdictsOf, type CollectableTask, type CollectionNeed, type Room } from "./collector.ts";

const aTask = (id: string, task: Partial<CollectableTask> = {}): CollectableTask => ({
  id,
  takenBytes: 10,
  accessedAtMs: 1000,
  inUse: [],
  ...task,
});
const withUrl = (task: CollectableTask) => ({ ...task, meta: { url: `http://origin/${task.id}` }, usedBy: [] });
const NEVER_EXPIRES: CollectionNeed = { bytes: 0, unusedSinceMs: -Infinity };

const PLANS: readonly {
  readonly title: string;
  readonly tasks: readonly CollectableTask[];
  readonly need: Partial<CollectionNeed>;
  readonly evict: readonly string[];
  readonly enough?: boolean;
  readonly kept?: object;
}[] = [
  { title: "nothing goes when nothing is needed", tasks: [aTask("a")], need: {}, evict: [] },
  {
    title: "the least recently used goes first, and no more than needed",
    tasks: [aTask("new", { accessedAtMs: 3 }), aTask("old", { accessedAtMs: 1 }), aTask("middle", { accessedAtMs: 2 })],
    need: { bytes: 11 },
    evict: ["old space", "middle space"],
  },
  {
    title: "what is in use stays, whatever is needed",
    tasks: [
      aTask("served", { accessedAtMs: 1, inUse: ["upload", "pin"] }),
      aTask("linked", { accessedAtMs: 2, inUse: ["hard-link"] }),
      aTask("idle"),
    ],
    need: { bytes: 30 },
    evict: ["idle space"],
    enough: false,
    kept: { upload: 1, "hard-link": 1 },
  },
  {
    title: "the expired goes even when nothing is needed",
    tasks: [aTask("old", { accessedAtMs: 1 }), aTask("pinned", { accessedAtMs: 1, inUse: ["pin"] }), aTask("fresh", { accessedAtMs: 50 })],
    need: { unusedSinceMs: 50 },
    evict: ["old expired"],
    kept: { pin: 1 },
  },
  {
    title: "what expired counts towards the need",
    tasks: [aTask("old", { accessedAtMs: 1 }), aTask("next", { accessedAtMs: 60 }), aTask("last", { accessedAtMs: 70 })],
    need: { bytes: 15, unusedSinceMs: 50 },
    evict: ["old expired", "next space"],
  },
  { title: "equals go by name, so that a plan can be repeated", tasks: [aTask("b"), aTask("a")], need: { bytes: 1 }, evict: ["a space"] },
];

for (const { title, tasks, need, evict, enough = true, kept = {} } of PLANS) {
  test(title, () => {
    const plan = planEviction(tasks, { ...NEVER_EXPIRES, ...need });
    assert.deepEqual(
      plan.evict.map((victim) => `${victim.id} ${victim.reason}`),
      evict,
    );
    assert.equal(plan.enough, enough);
    assert.deepEqual(plan.kept, kept);
    assert.equal(plan.freedBytes, evict.length * 10);
  });
}

test("what went comes first, and each task that stays says why", () => {
  const tasks = [
    aTask("new", { accessedAtMs: 9 }),
    aTask("linked", { accessedAtMs: 1, inUse: ["hard-link"] }),
    aTask("old", { accessedAtMs: 2 }),
  ];
  const { evict } = planEviction(tasks, { ...NEVER_EXPIRES, bytes: 5 });
  const { freedBytes, verdicts } = verdictsOf(tasks.map(withUrl), evict);
  assert.equal(freedBytes, 10);
  assert.deepEqual(
    verdicts.map(({ id, url, verdict, inUse }) => [id, url, verdict, ...inUse].join(" ")),
    ["old http://origin/old space", "linked http://origin/linked in-use hard-link", "new http://origin/new not-needed"],
  );
});

test("use is asked only of those whose turn comes", () => {
  const untouched = {
    ...aTask("new", { accessedAtMs: 9999 }),
    get inUse(): never {
      throw new Error("asked");
    },
  };
  assert.equal(planEviction([untouched, aTask("old")], { ...NEVER_EXPIRES, bytes: 10 }).evict.length, 1);
});

const LIMITS = { quotaBytes: 0, diskFreeMinBytes: 100, diskFullPercent: 100, diskHighPercent: 85, diskLowPercent: 70 };
const aRoom = (room: Partial<Room>): Room => ({ heldBytes: 0, reservedBytes: 0, diskTotalBytes: 10_000, diskFreeBytes: 10_000, ...room });

const SHORTAGES: readonly [title: string, room: Partial<Room>, quotaBytes: number, expected: number][] = [
  ["an empty disk has room", { reservedBytes: 1000 }, 0, -8900],
  ["the floor stays free", { diskFreeBytes: 1050, reservedBytes: 1000 }, 0, 50],
  ["on a small disk the floor is a share of it", { diskTotalBytes: 1000, diskFreeBytes: 1000, reservedBytes: 960 }, 0, 10],
  ["the quota counts what is held and what is promised", { heldBytes: 700, reservedBytes: 400 }, 1000, 100],
  ["the tighter of both limits counts", { heldBytes: 700, reservedBytes: 400, diskFreeBytes: 100 }, 1000, 400],
];
for (const [title, room, quotaBytes, expected] of SHORTAGES) {
  test(title, () => assert.equal(shortageOf(aRoom(room), { ...LIMITS, quotaBytes }), expected));
}

test("from the full share of the disk on nothing is promised, but nothing is deleted for that either", () => {
  const limits = { ...LIMITS, diskFullPercent: 95 };
  const room = aRoom({ heldBytes: 100, reservedBytes: 10, diskFreeBytes: 400 });
  assert.equal(shortageOf(room, limits), 110);
  assert.equal(surplusOf(room, limits), 0);
});

const SURPLUSES: readonly [title: string, room: Partial<Room>, expected: number][] = [
  ["below the high share nothing is collected", { heldBytes: 8500, diskFreeBytes: 1500 }, 0],
  ["above it all is collected down to the low share", { heldBytes: 8600, diskFreeBytes: 1400 }, 1600],
  ["a disk that others have filled does not empty the store", { heldBytes: 100, diskFreeBytes: 900 }, 0],
  ["but the floor holds there too", { heldBytes: 100, diskFreeBytes: 60 }, 40],
];
for (const [title, room, expected] of SURPLUSES) {
  test(title, () => assert.equal(surplusOf(aRoom(room), LIMITS), expected));
}
