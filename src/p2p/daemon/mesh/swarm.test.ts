import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { createRandom } from "../../../base/random.ts";
import { Bits } from "./bits.ts";
import { Swarm, type SwarmChoice, type SwarmOptions } from "./swarm.ts";

const PIECES = 40;

function aSwarm(options: Partial<SwarmOptions> = {}): Swarm<string> {
  return new Swarm({ pieceCount: PIECES, slots: 100, perNeighbourMax: 100, random: createRandom(1), self: "me", ...options });
}

const bitmap = (pieces: readonly number[]): Uint8Array => {
  const bits = new Bits(PIECES);
  for (const piece of pieces) bits.set(piece);
  return bits.toBytes(PIECES);
};

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);
const NOTHING = { started: [], held: [], dropped: [] };

interface Known {
  readonly held?: readonly number[];
  readonly started?: readonly number[];
  readonly distance?: number;
}

/** A swarm that has heard all of these. */
function swarmOf(neighbours: Readonly<Record<string, Known>>, options: Partial<SwarmOptions> = {}): Swarm<string> {
  const swarm = aSwarm(options);
  for (const [name, { held = [], started = [], distance = 0 }] of Object.entries(neighbours)) {
    swarm.add(name, { name, distance });
    swarm.replace(name, { held: bitmap(held), started: bitmap(started) }, 0);
  }
  return swarm;
}

/** Everything that it asks for now. */
function drain(swarm: Swarm<string>, nowMs = 0): SwarmChoice<string>[] {
  const choices: SwarmChoice<string>[] = [];
  for (let choice = swarm.next(nowMs); choice !== undefined; choice = swarm.next(nowMs)) choices.push(choice);
  return choices;
}

const sorted = (numbers: readonly number[]): number[] => numbers.toSorted((a, b) => a - b);
const piecesOf = (choices: readonly SwarmChoice<string>[]): number[] => sorted(choices.map(({ piece }) => piece));

suite("which piece", () => {
  test("the rarest first, ties by chance", () => {
    const firsts = new Set<number>();
    for (const seed of range(0, 50)) {
      const swarm = swarmOf({ a: { held: range(0, 20) }, b: { held: range(0, 17) }, c: { held: [17] } }, { random: createRandom(seed) });
      const choices = drain(swarm).map(({ piece }) => piece);
      assert.deepEqual(sorted(choices.slice(0, 2)), [18, 19]);
      assert.equal(choices.length, 20);
      firsts.add(choices[0]!);
    }
    assert.deepEqual(sorted([...firsts]), [18, 19]);
  });

  test("one that an idle neighbour has before a rarer one of a busy neighbour, unless a reader waits for that", () => {
    const swarm = swarmOf({ busy: { held: [0, 1] }, idle: { held: [1] } });
    swarm.busyWith("busy", { uploads: 2, slots: 0 });
    swarm.want(0, 1);
    assert.equal(swarm.next(0)?.piece, 0);
    assert.equal(swarm.next(0)?.piece, 1);
    const relaxed = swarmOf({ busy: { held: [0, 1] }, idle: { held: [1] } });
    relaxed.busyWith("busy", { uploads: 2, slots: 0 });
    assert.equal(relaxed.next(0)?.piece, 1);
    assert.equal(relaxed.next(0)?.piece, 0, "better than nothing");
  });

  test("what a reader waits for comes before all else, in its order, as far as somebody has it", () => {
    const swarm = swarmOf({ a: { held: [1, 2, 10, 12, 13, 14] }, b: { held: [1, 12, 13] } });
    swarm.want(10, 4); // 10 to 13; nobody has 11
    assert.deepEqual(
      drain(swarm)
        .slice(0, 3)
        .map(({ piece }) => piece),
      [10, 12, 13],
    );
    const rest = swarmOf({ a: { held: [38, 39, 1] } });
    rest.want(38, 100);
    assert.deepEqual(
      drain(rest)
        .slice(0, 2)
        .map(({ piece }) => piece),
      [38, 39],
      "a window that reaches beyond the end",
    );
    const none = swarmOf({ a: { held: [5] }, b: { held: [5, 7] } });
    none.want(5, 1);
    none.want(0, 0);
    assert.equal(none.next(0)?.piece, 7, "nobody waits any more");
  });

  test("nothing that is here, on its way or somebody else's to fetch; what is not any more, again", () => {
    const swarm = swarmOf({ a: { held: range(0, 6) } });
    swarm.got(0);
    swarm.claim(1, true);
    assert.deepEqual(
      [0, 1, 2, PIECES].map((piece) => swarm.isWanted(piece)),
      [false, false, true, false],
    );
    assert.deepEqual(piecesOf(drain(swarm)), [2, 3, 4, 5]);
    assert.deepEqual(drain(swarm), []);
    swarm.lost(0);
    swarm.claim(1, false);
    swarm.ended(2, "a");
    assert.deepEqual(piecesOf(drain(swarm)), [0, 1, 2]);
  });

  test("a claim that ends while the piece is on its way, or here, does not bring it back", () => {
    const swarm = swarmOf({ a: { held: [3] } });
    swarm.next(0);
    swarm.claim(3, true);
    swarm.claim(3, false);
    assert.equal(swarm.next(0), undefined);
    swarm.got(3);
    swarm.ended(3, "a");
    swarm.claim(3, false);
    assert.ok(!swarm.isWanted(3));
  });

  test("nothing of somebody who has said nothing, or is not known", () => {
    const swarm = aSwarm();
    swarm.add("a", { name: "a", distance: 0 });
    swarm.note("stranger", { ...NOTHING, held: [1] }, 0);
    swarm.replace("stranger", { held: bitmap([1]), started: bitmap([]) }, 0);
    swarm.begun(1, "stranger", 0);
    assert.deepEqual([swarm.next(0), swarm.copiesOf(1), swarm.inFlight, swarm.hasPiece("stranger", 1)], [undefined, 0, 0, false]);
  });
});

suite("of whom", () => {
  /** Who is asked first for piece 0, over many seeds. */
  const asked = (neighbours: Readonly<Record<string, Known>>, before: (swarm: Swarm<string>) => void = () => undefined): string => {
    const names = range(0, 40).map((seed) => {
      const swarm = swarmOf(neighbours, { random: createRandom(seed) });
      before(swarm);
      return swarm.next(0)?.neighbour ?? "nobody";
    });
    return [...new Set(names)].toSorted().join(" ");
  };
  const rows: readonly (readonly [string, string, Readonly<Record<string, Known>>, ((swarm: Swarm<string>) => void)?])[] = [
    ["any of those who have it", "a b", { a: { held: [0] }, b: { held: [0] } }],
    ["who has it whole before who still receives it", "b", { a: { started: [0] }, b: { held: [0] } }],
    ["who still receives it, when nobody has it whole", "a", { a: { started: [0] }, b: { held: [1] } }, (swarm) => swarm.claim(1, true)],
    ["who is near before who is far", "b", { a: { held: [0], distance: 1 }, b: { held: [0] } }, onlyGateway],
    [
      "who is far and has it whole before who is near and still receives it",
      "a",
      { a: { held: [0], distance: 2 }, b: { started: [0] } },
      onlyGateway,
    ],
    ["the least busy", "b", { a: { held: [0, 1] }, b: { held: [0] } }, (swarm) => swarm.begun(1, "a", 0)],
    ["who sends less to others", "b", { a: { held: [0] }, b: { held: [0] } }, (swarm) => swarm.busyWith("a", { uploads: 1, slots: 8 })],
    [
      "who sends more and would send far more",
      "a",
      { a: { held: [0] }, b: { held: [0] } },
      (swarm) => {
        swarm.busyWith("a", { uploads: 3, slots: 16 });
        swarm.busyWith("b", { uploads: 2, slots: 8 });
      },
    ],
    ["a free relay before a busy holder", "b", { a: { held: [0, 1] }, b: { started: [0] } }, (swarm) => swarm.begun(1, "a", 0)],
    ["nobody who is busy", "b", { a: { held: [0] }, b: { started: [0] } }, (swarm) => swarm.busy("a", 0)],
    ["nobody who failed us", "b", { a: { held: [0] }, b: { started: [0] } }, (swarm) => swarm.avoid("a", 1)],
    ["nobody who turned out not to have it", "b", { a: { held: [0] }, b: { started: [0] } }, (swarm) => swarm.hasNot("a", 0)],
    ["nobody, when the only holder is gone", "nobody", { a: { held: [0] } }, (swarm) => swarm.remove("a")],
  ];
  for (const [title, expected, neighbours, before] of rows) test(title, () => assert.equal(asked(neighbours, before), expected));
});

/** The near member has been passed over for so long that anybody may bring the piece in. */
function onlyGateway(swarm: Swarm<string>): void {
  swarm.replace("a", { held: bitmap([0]), started: bitmap([]) }, -10_000);
}

suite("how many at once", () => {
  test("as many as there are slots", () => {
    const swarm = swarmOf({ a: { held: range(0, 20) }, b: { held: range(0, 20) } }, { slots: 4 });
    for (const name of ["a", "b"]) swarm.busyWith(name, { uploads: 4, slots: 4 });
    assert.equal(drain(swarm).length, 4);
    assert.equal(swarm.inFlight, 4);
  });

  test("half as many again of those that send little", () => {
    const swarm = swarmOf({ busy: { held: range(0, 20) }, idle: { held: range(0, 20) } }, { slots: 4 });
    swarm.busyWith("busy", { uploads: 4, slots: 4 });
    swarm.busyWith("idle", { uploads: 20, slots: 80 });
    const choices = drain(swarm);
    assert.equal(choices.length, 6);
    assert.deepEqual(
      choices.slice(4).map(({ neighbour }) => neighbour),
      ["idle", "idle"],
    );
  });

  test("no more than the slots where pieces take long", () => {
    const swarm = swarmOf({ a: { held: range(0, 20) } }, { slots: 4 });
    swarm.busyWith("a", { uploads: 20, slots: 80 });
    swarm.took(1000);
    assert.equal(drain(swarm).length, 4);
    swarm.took(900);
    assert.equal(drain(swarm).length, 2);
  });

  test("one more for each that is about to end, once", () => {
    const swarm = swarmOf({ a: { held: range(0, 20) } }, { slots: 2 });
    swarm.busyWith("a", { uploads: 2, slots: 2 });
    const [first, second] = drain(swarm);
    swarm.ending(first!.piece, "a");
    swarm.ending(first!.piece, "a");
    swarm.ending(second!.piece, "b"); // who was not asked
    assert.equal(drain(swarm).length, 1);
    assert.equal(swarm.isWanted(first!.piece), false, "it is on its way still");
    swarm.ended(first!.piece, "a");
    assert.equal(swarm.inFlight, 2);
    assert.equal(swarm.isWanted(first!.piece), true, "it has not come");
  });

  test("a few of one neighbour", () => {
    const swarm = swarmOf({ a: { held: range(0, 20) }, b: { held: [0, 1, 2] } }, { perNeighbourMax: 2 });
    const choices = drain(swarm);
    assert.deepEqual(choices.map(({ neighbour }) => neighbour).toSorted(), ["a", "a", "b", "b"]);
    const ofA = choices.find(({ neighbour }) => neighbour === "a")!;
    swarm.ended(ofA.piece, "a");
    assert.equal(drain(swarm).length, 1);
  });

  test("nothing when all is here", () => {
    const swarm = swarmOf({ a: { held: range(0, PIECES) } });
    for (const piece of range(0, PIECES)) swarm.got(piece);
    for (const piece of range(0, PIECES)) swarm.got(piece);
    assert.equal(swarm.missingCount, 0);
    assert.equal(swarm.next(0), undefined);
    swarm.lost(4);
    swarm.lost(4);
    assert.equal(swarm.missingCount, 1);
    assert.equal(swarm.next(0)?.piece, 4);
  });
});

suite("a neighbour without a free slot", () => {
  test("is asked again after a while that grows, up to a limit", () => {
    const swarm = swarmOf({ a: { held: [0] } });
    let nowMs = 0;
    for (const waitMs of [25, 50, 100, 200, 400, 400]) {
      swarm.busy("a", nowMs);
      assert.equal(swarm.next(nowMs + waitMs - 1), undefined);
      nowMs += waitMs;
      assert.equal(swarm.next(nowMs)?.piece, 0);
      swarm.ended(0, "a");
    }
  });

  test("is asked at once when it says that it has one, and the while is short again", () => {
    const swarm = swarmOf({ a: { held: [0] } });
    for (const _ of range(0, 5)) swarm.busy("a", 0);
    swarm.free("a");
    assert.equal(swarm.next(0)?.piece, 0);
    swarm.ended(0, "a");
    swarm.busy("a", 0);
    assert.equal(swarm.next(24), undefined);
    assert.equal(swarm.next(25)?.piece, 0);
  });

  test("that failed us is left alone for its time even so", () => {
    const swarm = swarmOf({ a: { held: [0] } });
    swarm.avoid("a", 1000);
    swarm.free("a");
    assert.equal(swarm.next(999), undefined);
    assert.equal(swarm.next(1000)?.piece, 0);
  });
});

suite("the last pieces", () => {
  const three = { a: { held: range(0, PIECES) }, b: { held: range(0, PIECES) }, c: { started: range(0, PIECES) } };
  /** All but the last `missing` pieces are here, and each of those is on its way from `a`. */
  const ending = (missing: number, options: Partial<SwarmOptions> = {}): Swarm<string> => {
    const swarm = swarmOf(three, { slots: 4, ...options });
    for (const piece of range(0, PIECES - missing)) swarm.got(piece);
    for (const piece of range(PIECES - missing, PIECES).toReversed()) swarm.begun(piece, "a", 10 * piece);
    return swarm;
  };
  const LATE = 10 * PIECES + 300;

  test("are asked of a second holder, the oldest first, once each", () => {
    const swarm = ending(3, { slots: 10 });
    assert.deepEqual(swarm.next(LATE), { piece: PIECES - 3, neighbour: "b", duplicate: true });
    assert.deepEqual(drain(swarm, LATE), [
      { piece: PIECES - 2, neighbour: "b", duplicate: true },
      { piece: PIECES - 1, neighbour: "b", duplicate: true },
    ]);
    assert.deepEqual(drain(swarm, LATE + 10_000), [], "never of a third");
    assert.equal(swarm.inFlight, 6);
  });

  test("only when they are overdue", () => {
    const swarm = ending(1);
    const askedMs = 10 * (PIECES - 1);
    assert.equal(swarm.next(askedMs + 299), undefined);
    assert.equal(swarm.next(askedMs + 300)?.duplicate, true);
  });

  test("only when they take longer than pieces do", () => {
    const swarm = ending(1);
    const askedMs = 10 * (PIECES - 1);
    swarm.took(2000);
    assert.equal(swarm.next(askedMs + 1999), undefined);
    assert.equal(swarm.next(askedMs + 2000)?.duplicate, true);
  });

  test("only when a slot is free", () => {
    assert.equal(ending(4).next(LATE), undefined);
    assert.equal(ending(9, { slots: 10 }).next(LATE)?.duplicate, true);
  });

  test("not while others of them are not even asked for", () => {
    const swarm = ending(3);
    for (const name of ["a", "b", "c"]) swarm.hasNot(name, 0);
    swarm.lost(0); // missing, and nobody has it
    assert.equal(swarm.next(LATE), undefined);
    swarm.claim(0, true); // somebody else sees to that one
    assert.equal(swarm.next(LATE)?.duplicate, true);
  });

  test("only of somebody who has it whole and can give it now", () => {
    const swarm = ending(1);
    swarm.busy("b", LATE);
    assert.equal(swarm.next(LATE), undefined);
    swarm.free("b");
    swarm.hasNot("b", PIECES - 1);
    assert.equal(swarm.next(LATE), undefined);
  });

  test("not when they are here already, from elsewhere", () => {
    const swarm = ending(2);
    swarm.got(PIECES - 2);
    assert.equal(swarm.next(LATE)?.piece, PIECES - 1);
    assert.equal(swarm.next(LATE), undefined);
  });

  test("are on their way until both have ended", () => {
    const swarm = ending(1);
    swarm.next(LATE);
    swarm.ended(PIECES - 1, "a");
    assert.ok(swarm.isRequested(PIECES - 1));
    assert.equal(swarm.inFlight, 1);
    swarm.ended(PIECES - 1, "b");
    swarm.ended(PIECES - 1, "b");
    assert.deepEqual([swarm.isRequested(PIECES - 1), swarm.inFlight], [false, 0]);
  });
});

test("a neighbour that sends another piece than the one asked for has that one on its way, and the other is free again", () => {
  const swarm = swarmOf({ a: { held: [1, 2] } }, { slots: 1 });
  const { piece } = swarm.next(0)!;
  const other = 3 - piece;
  swarm.ended(piece, "a");
  swarm.begun(other, "a", 0);
  assert.deepEqual([swarm.isRequested(piece), swarm.isRequested(other), swarm.inFlight, swarm.isWanted(piece)], [false, true, 1, true]);
});

test("a neighbour that leaves takes its copies along, and what it was to give is free again", () => {
  const swarm = swarmOf({ a: { held: [1, 2, 3] }, b: { held: [1] } });
  drain(swarm);
  swarm.remove("a");
  assert.deepEqual(
    [1, 2, 3].map((piece) => swarm.copiesOf(piece)),
    [1, 0, 0],
  );
  assert.deepEqual(
    [1, 2].map((piece) => swarm.isThere(piece)),
    [true, false],
  );
  swarm.remove("a");
  swarm.ended(2, "a");
  assert.equal(swarm.inFlight, swarm.isRequested(1) ? 1 : 0);
  swarm.add("a", { name: "a", distance: 0 });
  assert.equal(swarm.hasPiece("a", 2), false, "who comes back says again what it has");
});

suite("with racks", () => {
  test("a piece crosses into a rack through one member, and spreads inside", () => {
    const names = ["10.0.0.1-a", "10.0.0.2-b", "10.0.0.3-c"];
    const crossing = names.flatMap((self) => {
      const near = Object.fromEntries(names.filter((name) => name !== self).map((name) => [name, {}]));
      const swarm = swarmOf({ ...near, outside: { held: range(0, PIECES), distance: 1 } }, { self });
      return drain(swarm).map(({ piece }) => piece);
    });
    assert.deepEqual(sorted(crossing), range(0, PIECES), "each of them once");
  });

  test("what somebody near has is asked of that one, also by its gateway", () => {
    const swarm = swarmOf({ near: { held: range(0, PIECES) }, outside: { held: range(0, PIECES), distance: 2 } });
    const first = swarm.next(0)!;
    assert.equal(first.neighbour, "near");
  });

  test("who may not bring a piece in asks nobody outside for it, even when everybody near is busy", () => {
    const swarm = swarmOf({ near: { held: range(0, PIECES) }, outside: { held: range(0, PIECES), distance: 1 } });
    swarm.busy("near", 0);
    const crossing = drain(swarm);
    assert.ok(crossing.length > 0 && crossing.length < PIECES, `${crossing.length} of ${PIECES}`);
    swarm.free("near");
    for (const { neighbour } of drain(swarm)) assert.equal(neighbour, "near");
  });
});

// --- against a model that does everything the slow way

interface Copy {
  held: Set<number>;
  has: Set<number>;
  busyUntilMs: number;
  avoidUntilMs: number;
  refusals: number;
  uploads: number;
}

class Model {
  readonly neighbours = new Map<string, Copy>();
  readonly held = new Set<number>();
  readonly claimed = new Set<number>();
  readonly requests: { readonly piece: number; readonly name: string; readonly atMs: number; ending: boolean }[] = [];
  urgent: readonly number[] = [];

  readonly slots: number;
  readonly perNeighbourMax: number;

  constructor({ slots, perNeighbourMax }: Pick<SwarmOptions, "slots" | "perNeighbourMax">) {
    this.slots = slots;
    this.perNeighbourMax = perNeighbourMax;
  }

  isRequested(piece: number): boolean {
    return this.requests.some((request) => request.piece === piece);
  }

  get inFlight(): number {
    return this.requests.filter(({ ending }) => !ending).length;
  }

  loadOf(name: string): number {
    return this.requests.filter((request) => request.name === name && !request.ending).length;
  }

  isWanted(piece: number): boolean {
    return !this.held.has(piece) && !this.claimed.has(piece) && !this.isRequested(piece);
  }

  copiesOf(piece: number): number {
    return [...this.neighbours.values()].filter(({ has }) => has.has(piece)).length;
  }

  ended(piece: number, name: string): void {
    const at = this.requests.findIndex((request) => request.piece === piece && request.name === name);
    const [request] = at === -1 ? [] : this.requests.splice(at, 1);
    if (request?.ending === false) this.lighter(name);
  }

  ending(piece: number, name: string): void {
    const request = this.requests.find((each) => each.piece === piece && each.name === name);
    if (request === undefined || request.ending) return;
    request.ending = true;
    this.lighter(name);
  }

  lighter(name: string): void {
    const neighbour = this.neighbours.get(name);
    if (neighbour !== undefined) neighbour.uploads = Math.max(0, neighbour.uploads - 1);
  }

  /** All that would be right to ask for now. */
  choices(nowMs: number): Set<string> {
    const choices = new Set<string>();
    const missing = PIECES - this.held.size;
    const isFull = this.inFlight >= this.slots;
    const able = [...this.neighbours].filter(
      ([name, { busyUntilMs, avoidUntilMs, uploads }]) =>
        this.loadOf(name) < this.perNeighbourMax &&
        busyUntilMs <= nowMs &&
        avoidUntilMs <= nowMs &&
        (!isFull || uploads < this.slots * 0.6),
    );
    if (this.inFlight >= this.slots * 1.5 || missing === 0) return choices;
    const candidates = range(0, PIECES).filter((piece) => this.isWanted(piece) && able.some(([, { has }]) => has.has(piece)));
    const urgent = this.urgent.find((piece) => candidates.includes(piece));
    const leastUploads = Math.min(...able.map(([, { uploads }]) => uploads));
    const ofIdlest = candidates.filter((piece) => able.some(([, { has, uploads }]) => has.has(piece) && uploads <= leastUploads + 1));
    const among = ofIdlest.length > 0 ? ofIdlest : candidates;
    const fewest = Math.min(...among.map((piece) => this.copiesOf(piece)));
    for (const piece of urgent === undefined ? among.filter((each) => this.copiesOf(each) === fewest) : [urgent]) {
      const costs = able
        .filter(([, { has }]) => has.has(piece))
        .map(([name, { held, uploads }]) => ({ name, cost: uploads * 2 + (held.has(piece) ? 0 : 1) }));
      const least = Math.min(...costs.map(({ cost }) => cost));
      for (const { name, cost } of costs) if (cost === least) choices.add(`${piece} of ${name}`);
    }
    if (candidates.length > 0 || missing > 2 * this.slots || isFull) return choices;
    const unasked = range(0, PIECES).filter((piece) => this.isWanted(piece));
    if (unasked.length > 0) return choices;
    const single = this.requests.filter(
      ({ piece }) => !this.held.has(piece) && this.requests.filter((each) => each.piece === piece).length === 1,
    );
    const spare = single.flatMap(({ piece, name, atMs }) =>
      able
        .filter(([other, { held }]) => nowMs - atMs >= 300 && other !== name && held.has(piece))
        .map(([other]) => ({ piece, other, atMs })),
    );
    const oldest = Math.min(...spare.map(({ atMs }) => atMs));
    for (const { piece, other, atMs } of spare) if (atMs === oldest) choices.add(`${piece} of ${other} again`);
    return choices;
  }
}

const chosen = (choice: SwarmChoice<string> | undefined): string =>
  choice === undefined ? "nothing" : `${choice.piece} of ${choice.neighbour}${choice.duplicate ? " again" : ""}`;

test("whatever happens in whatever order, it knows what everybody has and asks for what a slow and simple model would", () => {
  for (const seed of range(0, 60)) {
    const random = createRandom(seed);
    const limits = { slots: 1 + random.below(8), perNeighbourMax: 1 + random.below(3) };
    const swarm = aSwarm({ ...limits, random });
    const model = new Model(limits);
    const names = ["a", "b", "c", "d", "e"];
    const some = (): number[] => range(0, random.below(6)).map(() => random.below(PIECES));
    let nowMs = 0;
    const steps: string[] = [];
    for (let turn = 0; turn < 250; turn++) {
      nowMs += random.below(120);
      const name = names[random.below(names.length)]!;
      const known = model.neighbours.get(name);
      const piece = random.below(PIECES);
      switch (random.below(16)) {
        case 0:
          if (known === undefined)
            model.neighbours.set(name, { held: new Set(), has: new Set(), busyUntilMs: 0, avoidUntilMs: 0, refusals: 0, uploads: 0 });
          swarm.add(name, { name, distance: 0 });
          break;
        case 1:
          if (random.below(4) !== 0) break; // leaving is rare
          model.neighbours.delete(name);
          swarm.remove(name);
          for (const request of model.requests.filter((each) => each.name === name)) model.ended(request.piece, name);
          break;
        case 2: {
          const [held, started] = [range(0, PIECES).filter(() => random.below(2) === 0), some()];
          swarm.replace(name, { held: bitmap(held), started: bitmap(started) }, nowMs);
          if (known !== undefined) [known.held, known.has] = [new Set(held), new Set([...held, ...started])];
          break;
        }
        case 3:
        case 4: {
          const news = { started: some(), held: [...some(), PIECES + random.below(100)], dropped: [...some(), PIECES] };
          swarm.note(name, news, nowMs);
          for (const each of news.dropped) for (const set of [known?.has, known?.held]) set?.delete(each);
          for (const each of [...news.started, ...news.held]) if (each < PIECES) known?.has.add(each);
          for (const each of news.held) if (each < PIECES) known?.held.add(each);
          break;
        }
        case 5:
          swarm.hasNot(name, piece);
          known?.has.delete(piece);
          known?.held.delete(piece);
          break;
        case 6:
          swarm.busy(name, nowMs);
          if (known !== undefined) known.busyUntilMs = nowMs + Math.min(400, 25 * 2 ** known.refusals++);
          break;
        case 7:
          swarm.free(name);
          if (known !== undefined) [known.busyUntilMs, known.refusals] = [0, 0];
          break;
        case 8:
          swarm.avoid(name, nowMs + 500);
          if (known !== undefined) known.avoidUntilMs = nowMs + 500;
          break;
        case 9: {
          const claimed = random.below(3) === 0;
          swarm.claim(piece, claimed);
          if (claimed) model.claimed.add(piece);
          else model.claimed.delete(piece);
          break;
        }
        case 10: {
          const uploads = random.below(9);
          swarm.busyWith(name, { uploads, slots: 0 });
          if (known !== undefined) known.uploads = uploads;
          break;
        }
        case 11:
          swarm.want(piece, 0);
          model.urgent = [];
          break;
        case 12:
          if (random.below(3) === 0) {
            swarm.lost(piece);
            model.held.delete(piece);
          }
          break;
        case 13: {
          const request = model.requests[random.below(Math.max(1, model.requests.length))];
          if (request === undefined) break;
          swarm.ending(request.piece, request.name);
          model.ending(request.piece, request.name);
          break;
        }
        default: {
          const request = model.requests[random.below(Math.max(1, model.requests.length))];
          if (request === undefined) break;
          const stored = random.below(4) !== 0;
          if (stored) swarm.got(request.piece);
          if (stored) model.held.add(request.piece);
          swarm.ended(request.piece, request.name);
          model.ended(request.piece, request.name);
        }
      }
      if (random.below(2) === 0) {
        const [first, count] = [random.below(PIECES), random.below(4)];
        swarm.want(first, count);
        model.urgent = range(first, Math.min(PIECES, first + count));
      }
      for (let asked = 0; asked < 3; asked++) {
        const right = model.choices(nowMs);
        const choice = swarm.next(nowMs);
        steps.push(chosen(choice));
        assert.ok(
          choice === undefined ? right.size === 0 : right.has(chosen(choice)),
          `seed ${seed}, turn ${turn}: ${chosen(choice)}, not one of ${[...right].join(", ")}; before: ${steps.slice(-8).join("; ")}`,
        );
        if (choice === undefined) break;
        model.requests.push({ piece: choice.piece, name: choice.neighbour, atMs: nowMs, ending: false });
        model.neighbours.get(choice.neighbour)!.uploads++; // it was chosen from them
      }
      assert.equal(swarm.inFlight, model.inFlight);
      assert.equal(swarm.missingCount, PIECES - model.held.size);
      for (const each of range(0, PIECES)) {
        const at = `seed ${seed}, turn ${turn}, piece ${each}`;
        assert.equal(swarm.copiesOf(each), model.copiesOf(each), at);
        assert.equal(swarm.isWanted(each), model.isWanted(each), at);
        assert.equal(swarm.isRequested(each), model.isRequested(each), at);
      }
      for (const each of names) assert.equal(swarm.isWhole(each), model.neighbours.get(each)?.held.size === PIECES);
    }
  }
});
