/** Degrees. */
export interface Position {
  readonly longitude: number;
  readonly latitude: number;
}

/** A part of the earth: columns and rows are counted from south-west, 2^`bits` of each. */
export interface Cell {
  readonly column: number;
  readonly row: number;
  readonly bits: number;
}

export interface Circle {
  readonly kind: "circle";
  readonly center: Position;
  readonly radiusMeters: number;
}

export interface Box {
  readonly kind: "box";
  readonly center: Position;
  readonly widthMeters: number;
  readonly heightMeters: number;
}

export type Shape = Circle | Box;

export const LONGITUDE_MAX = 180;
/** The Mercator projection's, that leaves out the poles. */
export const LATITUDE_MAX = 85.05112878;
/** Of a cell that is a score: 52 bits together, what a double holds exactly. */
export const CELL_BITS_MAX = 26;

const EARTH_RADIUS_METERS = 6_372_797.560856;
const MERCATOR_MAX_METERS = 20_037_726.37;
const HALF_BITS = 13;

/** The cell of a position, of a world that goes up to these latitudes. */
export function cellOf({ longitude, latitude }: Position, bits: number, latitudeMax = LATITUDE_MAX): Cell {
  const count = 2 ** bits;
  return {
    column: Math.trunc(((longitude + LONGITUDE_MAX) / (2 * LONGITUDE_MAX)) * count),
    row: Math.trunc(((latitude + latitudeMax) / (2 * latitudeMax)) * count),
    bits,
  };
}

/** The bits of column and row by turns, the column's first: near cells often have near scores. Of a smaller cell's score these are the first bits. */
export function scoreOfCell({ column, row, bits }: Cell): number {
  const half = 2 ** HALF_BITS;
  const high = spread(Math.trunc(column / half)) * 2 + spread(Math.trunc(row / half));
  const low = spread(column % half) * 2 + spread(row % half);
  return (high * half * half + low) * 4 ** (CELL_BITS_MAX - bits);
}

/** The middle of the cell that a score stands for. */
export function positionOfScore(score: number): Position {
  // The easternmost and northernmost lines are cells of their own, one bit longer.
  const whole = Math.trunc(Math.abs(score)) % 4 ** (CELL_BITS_MAX + 1);
  const half = 2 ** HALF_BITS;
  const high = Math.trunc(whole / (half * half));
  const low = whole % (half * half);
  const edges = edgesOf({
    column: gather(high >>> 1) * half + gather(low >>> 1),
    row: gather(high) * half + gather(low),
    bits: CELL_BITS_MAX,
  });
  return {
    longitude: clamp((edges.west + edges.east) / 2, LONGITUDE_MAX),
    latitude: clamp((edges.south + edges.north) / 2, LATITUDE_MAX),
  };
}

const clamp = (value: number, limit: number): number => Math.max(-limit, Math.min(limit, value));

/** Moves the lower bits of a number apart, a zero above each. */
function spread(value: number): number {
  let x = value;
  x = (x | (x << 8)) & 0x00ff00ff;
  x = (x | (x << 4)) & 0x0f0f0f0f;
  x = (x | (x << 2)) & 0x33333333;
  return (x | (x << 1)) & 0x55555555;
}

/** Moves every second bit together again. */
function gather(value: number): number {
  let x = value & 0x55555555;
  x = (x | (x >>> 1)) & 0x33333333;
  x = (x | (x >>> 2)) & 0x0f0f0f0f;
  x = (x | (x >>> 4)) & 0x00ff00ff;
  return (x | (x >>> 8)) & 0x0000ffff;
}

interface Edges {
  readonly west: number;
  readonly east: number;
  readonly south: number;
  readonly north: number;
}

function edgesOf({ column, row, bits }: Cell): Edges {
  const count = 2 ** bits;
  const longitude = (at: number): number => -LONGITUDE_MAX + (at / count) * (2 * LONGITUDE_MAX);
  const latitude = (at: number): number => -LATITUDE_MAX + (at / count) * (2 * LATITUDE_MAX);
  return { west: longitude(column), east: longitude(column + 1), south: latitude(row), north: latitude(row + 1) };
}

const radians = (degrees: number): number => degrees * (Math.PI / 180);
const degrees = (angle: number): number => angle / (Math.PI / 180);

/** Along a great circle, by the haversine formula. */
export function distanceMeters(a: Position, b: Position): number {
  const sine = Math.sin((radians(b.longitude) - radians(a.longitude)) / 2);
  if (sine === 0) return alongMeridianMeters(a, b);
  const other = Math.sin((radians(b.latitude) - radians(a.latitude)) / 2);
  const haversine = other * other + Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * sine * sine;
  return 2 * EARTH_RADIUS_METERS * Math.asin(Math.sqrt(haversine));
}

const alongMeridianMeters = (a: Position, b: Position): number => EARTH_RADIUS_METERS * Math.abs(radians(b.latitude) - radians(a.latitude));

/** How far from the center; undefined outside. In a box the position is not further off than half of its height and, along its own parallel, half of its width. */
export function distanceWithin(shape: Shape, position: Position): number | undefined {
  const { center } = shape;
  if (shape.kind === "circle") {
    const distance = distanceMeters(center, position);
    return distance > shape.radiusMeters ? undefined : distance;
  }
  if (alongMeridianMeters(position, center) > shape.heightMeters / 2) return undefined;
  const sideways = distanceMeters(position, { longitude: center.longitude, latitude: position.latitude });
  return sideways > shape.widthMeters / 2 ? undefined : distanceMeters(center, position);
}

/** Cells that together hold the whole shape: the one of its center and those around it that it may reach, each once. */
export function cellsOf(shape: Shape): readonly Cell[] {
  const bounds = boundsOf(shape);
  let bits = bitsFor(shape);
  let around = neighboursOf(cellOf(shape.center, bits));
  if (bits > 1 && !reaches(around, bounds)) around = neighboursOf(cellOf(shape.center, --bits));
  const middle = edgesOf(around[0]!.cell);
  const without = {
    south: bits > 1 && middle.south < bounds.south,
    north: bits > 1 && middle.north > bounds.north,
    west: bits > 1 && middle.west < bounds.west,
    east: bits > 1 && middle.east > bounds.east,
  };
  const seen = new Set<number>();
  return around.flatMap(({ cell, x, y }) => {
    const needless = (y < 0 && without.south) || (y > 0 && without.north) || (x < 0 && without.west) || (x > 0 && without.east);
    const score = scoreOfCell(cell);
    if (needless || seen.has(score)) return [];
    seen.add(score);
    return [cell];
  });
}

interface Neighbour {
  readonly cell: Cell;
  readonly x: number;
  readonly y: number;
}

/** The cell itself first, then those at its edges, then those at its corners. */
const DIRECTIONS = [
  [0, 0],
  [0, 1],
  [0, -1],
  [1, 0],
  [-1, 0],
  [1, 1],
  [-1, 1],
  [1, -1],
  [-1, -1],
] as const;

/** Beyond an edge of the world comes its other edge. */
function neighboursOf({ column, row, bits }: Cell): Neighbour[] {
  const count = 2 ** bits;
  const moved = (at: number, by: number): number => (by === 0 ? at : (at + by + count) % count);
  return DIRECTIONS.map(([x, y]) => ({ cell: { column: moved(column, x), row: moved(row, y), bits }, x, y }));
}

/** Whether the cells at the edges go as far as the bounds. */
function reaches(around: readonly Neighbour[], bounds: Edges): boolean {
  const [, north, south, east, west] = around.map(({ cell }) => edgesOf(cell));
  return (
    north!.north >= bounds.north && south!.south <= bounds.south && east!.east >= bounds.east && west!.west <= bounds.west // nine of them
  );
}

function boundsOf(shape: Shape): Edges {
  const { longitude, latitude } = shape.center;
  const height = shape.kind === "circle" ? shape.radiusMeters : shape.heightMeters / 2;
  const width = shape.kind === "circle" ? shape.radiusMeters : shape.widthMeters / 2;
  const up = degrees(height / EARTH_RADIUS_METERS);
  // Where the parallels are shorter the same width spans more degrees: at the side of the pole.
  const widest = latitude < 0 ? latitude - up : latitude + up;
  const aside = degrees(width / EARTH_RADIUS_METERS / Math.cos(radians(widest)));
  return { west: longitude - aside, east: longitude + aside, south: latitude - up, north: latitude + up };
}

/** How fine cells may be so that three of them are wider than the shape. */
function bitsFor(shape: Shape): number {
  const { latitude } = shape.center;
  let meters = shape.kind === "circle" ? shape.radiusMeters : Math.hypot(shape.widthMeters / 2, shape.heightMeters / 2);
  if (meters === 0) return CELL_BITS_MAX;
  let bits = -1;
  for (; meters < MERCATOR_MAX_METERS; meters *= 2) bits++;
  const polar = Math.abs(latitude);
  if (polar > 66) bits--;
  if (polar > 80) bits--;
  return Math.max(1, Math.min(CELL_BITS_MAX, bits));
}

const ALPHABET = "0123456789bcdefghjkmnpqrstuvwxyz";

/** The geohash that others know: of a world up to the poles, eleven letters of which the last says nothing. */
export function geohashOf(position: Position): string {
  const bits = BigInt(scoreOfCell(cellOf(position, CELL_BITS_MAX, 90)));
  let text = "";
  for (let shift = 47n; shift >= 2n; shift -= 5n) text += ALPHABET[Number((bits >> shift) & 31n)]!;
  return `${text}0`;
}
