/** `count` different positions below `size`, every choice of them as likely as any other; by Floyd's algorithm, so that it takes only as long as they are many. */
export function samplePositions(size: number, count: number, random: () => number): Iterable<number> {
  const chosen = new Set<number>();
  for (let bound = size - Math.min(count, size); bound < size; bound++) {
    const position = Math.floor(random() * (bound + 1));
    chosen.add(chosen.has(position) ? bound : position);
  }
  return chosen;
}
