import type { Outcome } from "./verbs.ts";

/**
 * Who writes to which file, while several sessions that have caches live. A session may keep what it has written to a file to itself only while it holds the file's
 * lease; verbs that need the content, the size or the times of what another session holds throw `volume.leased` (with `ino` and `session`), having done nothing:
 * whoever wants it asks the holder (`VolumeControl.want`), and calls again.
 */
export interface LeaseVerbs {
  /** Whether others live from now on. Alone nothing is looked at, and leases are not needed. */
  share(shared: boolean): void;
  /** Takes the leases of files and tells the others to drop what they have of their content. Throws `volume.leased`. EROFS. */
  take(inos: readonly number[]): Outcome;
  /** Gives them back; what was written must be committed. */
  drop(inos: readonly number[]): void;
  holds(ino: number): boolean;
  /** Whether others were told of content, here or by another verb, since this was asked last: they must have dropped it before anybody hears that the change is done. */
  takeTold(): boolean;
  /** The session was taken for dead and lives again: it holds nothing, and what it wrote before can be committed no more (EIO, until this is called). */
  renew(): void;
}
