import type { Flaw } from "../ledger.ts";
import { TRASH } from "../rules/removal.ts";

/** How many names each inode has, counted once for all: no index finds the names of one, and to look through all of them for each would take for ever. */
const NAMES = "SELECT ino, count(*) FROM edge GROUP BY ino";

/** Each finds flaws of one kind as (id, found, expected). */
export const CHECKS: Readonly<Partial<Record<Flaw["kind"], string>>> = {
  "extent-without-blob": "SELECT ino AS id, blob AS found, 0 AS expected FROM extent WHERE blob NOT IN (SELECT id FROM blob)",
  "blob-references": `SELECT id, refs AS found, n AS expected FROM (
      SELECT blob.id, refs, state, (SELECT count(*) FROM extent WHERE extent.blob = blob.id) AS n FROM blob
    ) WHERE refs <> n OR (n > 0 AND state <> 1) OR (n = 0 AND state = 1)`,
  "extent-overlap": `SELECT ino AS id, position AS found, before AS expected FROM (
      SELECT ino, position, lag(position + length) OVER (PARTITION BY ino ORDER BY position) AS before FROM extent
    ) WHERE before > position`,
  "extent-outside-blob": `SELECT ino AS id, blob_offset + length AS found, bytes AS expected FROM extent JOIN blob ON blob.id = blob
    WHERE blob_offset < 0 OR length < 1 OR blob_offset + length > bytes`,
  "entry-without-inode": "SELECT ino AS id, parent AS found, 0 AS expected FROM edge WHERE ino NOT IN (SELECT ino FROM node)",
  "inode-without-entry": `SELECT ino AS id, nlink AS found, 0 AS expected FROM node
    WHERE ino <> 1 AND nlink > 0 AND ino NOT IN (SELECT ino FROM edge)
    UNION ALL SELECT ino, nlink, 0 FROM node WHERE nlink = 0 AND ino NOT IN (SELECT ino FROM open_unlinked)`,
  "link-count": `WITH names (ino, n) AS MATERIALIZED (${NAMES})
    SELECT id, found, expected FROM (
      SELECT node.ino AS id, nlink AS found, CASE WHEN (mode & 61440) = 16384
        THEN 2 + (SELECT count(*) FROM edge WHERE parent = node.ino AND type = 4) ELSE coalesce(names.n, 0) END AS expected
      FROM node LEFT JOIN names ON names.ino = node.ino WHERE nlink > 0
    ) WHERE found <> expected`,
  "allocated-bytes": `SELECT ino AS id, allocated AS found, n AS expected FROM (
      SELECT ino, allocated, (SELECT coalesce(sum(length), 0) FROM extent WHERE extent.ino = node.ino)
        + (SELECT coalesce(sum(length(data)), 0) FROM inline_data WHERE inline_data.ino = node.ino) AS n FROM node
    ) WHERE allocated <> n`,
  "trash-entry": `SELECT trash.ino AS id, coalesce(nlink, -1) AS found, 0 AS expected FROM trash LEFT JOIN node ON node.ino = trash.ino
    WHERE nlink IS NOT 0 OR trash.ino NOT IN (SELECT ino FROM open_unlinked WHERE session = ${TRASH})
    UNION ALL SELECT ino, session, 0 FROM open_unlinked WHERE session = ${TRASH} AND ino NOT IN (SELECT ino FROM trash)`,
  "trash-place": `SELECT ino AS id, parent AS found, 0 AS expected FROM trash WHERE parent NOT IN (
      SELECT ino FROM node WHERE (mode & 61440) = 16384 AND (nlink > 0 OR ino IN (SELECT ino FROM trash)))`,
  "used-bytes":
    "SELECT 0 AS id, used_bytes AS found, n AS expected FROM volume, (SELECT coalesce(sum(allocated), 0) AS n FROM node) WHERE used_bytes <> n",
  "used-inodes":
    "SELECT 0 AS id, used_inodes AS found, n AS expected FROM volume, (SELECT count(*) AS n FROM node WHERE nlink > 0) WHERE used_inodes <> n",
};

/** Everything that is only counted, counted anew; in this order. */
export const RECOUNTS: readonly string[] = [
  `UPDATE blob SET refs = (SELECT count(*) FROM extent WHERE extent.blob = blob.id) WHERE state <> 3`,
  "UPDATE blob SET state = 1 WHERE refs > 0 AND state IN (0, 2)",
  "UPDATE blob SET state = 2 WHERE refs = 0 AND state = 1",
  `UPDATE node SET allocated = (SELECT coalesce(sum(length), 0) FROM extent WHERE extent.ino = node.ino)
     + (SELECT coalesce(sum(length(data)), 0) FROM inline_data WHERE inline_data.ino = node.ino)`,
  "UPDATE node SET nlink = 2 + (SELECT count(*) FROM edge WHERE parent = node.ino AND type = 4) WHERE (mode & 61440) = 16384 AND nlink > 0",
  `WITH names (ino, n) AS MATERIALIZED (${NAMES})
     UPDATE node SET nlink = names.n FROM names WHERE names.ino = node.ino AND (mode & 61440) <> 16384 AND nlink > 0 AND nlink <> names.n`,
  "DELETE FROM trash WHERE ino NOT IN (SELECT ino FROM node WHERE nlink = 0)",
  `DELETE FROM open_unlinked WHERE session = ${TRASH} AND ino NOT IN (SELECT ino FROM trash)`,
  `INSERT OR IGNORE INTO open_unlinked (ino, session) SELECT ino, ${TRASH} FROM trash`,
  "INSERT OR IGNORE INTO open_unlinked (ino, session) SELECT ino, 0 FROM node WHERE nlink = 0 AND ino NOT IN (SELECT ino FROM open_unlinked)",
  `UPDATE volume SET used_bytes = (SELECT coalesce(sum(allocated), 0) FROM node), used_inodes = (SELECT count(*) FROM node WHERE nlink > 0)`,
];
