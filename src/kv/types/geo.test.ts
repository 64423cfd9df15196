import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import {
  CELL_BITS_MAX,
  cellOf,
  cellsOf,
  distanceMeters,
  distanceWithin,
  geohashOf,
  positionOfScore,
  scoreOfCell,
  type Shape,
} from "./geo.ts";

const PALERMO = { longitude: 13.361389, latitude: 38.115556 };
const CATANIA = { longitude: 15.087269, latitude: 37.502669 };
const position = fc.record({
  longitude: fc.double({ min: -180, max: 180, noNaN: true }),
  latitude: fc.double({ min: -85, max: 85, noNaN: true }),
});

test("positions have the scores, hashes and distances that Redis' documentation shows", () => {
  const score = scoreOfCell(cellOf(PALERMO, CELL_BITS_MAX));
  assert.equal(score, 3479099956230698);
  assert.equal(geohashOf(positionOfScore(score)), "sqc8b49rny0");
  const other = positionOfScore(scoreOfCell(cellOf(CATANIA, CELL_BITS_MAX)));
  assert.equal(geohashOf(other), "sqdtr74hyu0");
  assert.equal(distanceMeters(positionOfScore(score), other).toFixed(4), "166274.1516");
});

const near = ({ longitude, latitude }: { longitude: number; latitude: number }): void => {
  const found = positionOfScore(scoreOfCell(cellOf({ longitude, latitude }, CELL_BITS_MAX)));
  assert.ok(Math.abs(found.longitude - longitude) < 1e-5 && Math.abs(found.latitude - latitude) < 1e-5);
};

test("a score stands for its position to within a meter, the edges of the world too", () => {
  fc.assert(fc.property(position, near));
  near({ longitude: 180, latitude: 85.05112878 });
  near({ longitude: -180, latitude: -85.05112878 });
});

test("no position within a shape lies outside the cells that are searched", () => {
  const meters = fc.double({ min: 1, max: 2_000_000, noNaN: true });
  const shape: fc.Arbitrary<Shape> = fc.oneof(
    fc.record({ kind: fc.constant("circle" as const), center: position, radiusMeters: meters }),
    fc.record({ kind: fc.constant("box" as const), center: position, widthMeters: meters, heightMeters: meters }),
  );
  const offset = fc.double({ min: -1, max: 1, noNaN: true });
  fc.assert(
    fc.property(shape, offset, offset, (searched, x, y) => {
      const reach = searched.kind === "circle" ? searched.radiusMeters : Math.max(searched.widthMeters, searched.heightMeters);
      const up = reach / 111_000;
      const probe = {
        longitude: searched.center.longitude + (x * up) / Math.cos((searched.center.latitude * Math.PI) / 180),
        latitude: searched.center.latitude + y * up,
      };
      if (Math.abs(probe.longitude) > 180 || Math.abs(probe.latitude) > 85 || Math.abs(searched.center.latitude) > 75) return;
      if (distanceWithin(searched, probe) === undefined) return;
      const score = scoreOfCell(cellOf(probe, CELL_BITS_MAX));
      const within = cellsOf(searched).some(
        (cell) => score >= scoreOfCell(cell) && score < scoreOfCell(cell) + 4 ** (CELL_BITS_MAX - cell.bits),
      );
      assert.ok(within);
    }),
    { numRuns: 2000 },
  );
});
