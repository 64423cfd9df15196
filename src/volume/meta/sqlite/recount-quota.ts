/**
 * What lies below the directory of a quota, each inode once, and with it what is in the trash: its bytes count until they are gone. The directory itself counts for
 * the one above.
 */
export const RECOUNT_QUOTA = `UPDATE quota SET (used_bytes, used_inodes) = (
    WITH RECURSIVE below (ino) AS (
      SELECT ino FROM edge WHERE parent = ?1 UNION SELECT ino FROM trash WHERE parent = ?1
      UNION SELECT edge.ino FROM below JOIN edge ON edge.parent = below.ino
      UNION SELECT trash.ino FROM below JOIN trash ON trash.parent = below.ino
    )
    SELECT coalesce(sum(allocated), 0), coalesce(sum(nlink > 0), 0) FROM node
    WHERE ino IN (SELECT ino FROM below) AND (parent = ?1 OR parent IN (SELECT ino FROM below))
  ) WHERE ino = ?1`;
