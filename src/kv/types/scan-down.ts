/**
 * One step of a scan over positions: visits at most `count` of them from the cursor downwards and returns the next cursor, 0 at the end; the first call has 0, too.
 *
 * The cursor is how many positions, counted from 0, are still to be visited. Whatever is there from the first call to the last is visited at least once,
 * provided that nothing moves to a higher position: what has not been visited lies below the cursor and stays there. Items that are added come last, and need not
 * be visited; one that takes the place of another that was removed moves downwards and is visited a second time at worst.
 */
export function scanDown(cursor: number, size: number, count: number, visit: (position: number) => void): number {
  const end = cursor === 0 ? size : Math.min(cursor, size);
  const start = Math.max(0, end - count);
  for (let position = end - 1; position >= start; position--) visit(position);
  return start;
}
