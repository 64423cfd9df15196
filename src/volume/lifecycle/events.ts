import { closeSync, futimesSync, openSync } from "node:fs";

/**
 * Tells every watcher on this machine that a volume has something new: the time of its event file changes, and who watches that file (inotify) looks at the
 * metadata. A hint only: what it means is read from there, and a heartbeat finds what a lost hint did not tell.
 */
export function notifyWatchers(path: string, wallMs: number): void {
  try {
    const fd = openSync(path, "a", 0o640);
    try {
      futimesSync(fd, wallMs / 1000, wallMs / 1000);
    } finally {
      closeSync(fd);
    }
  } catch {
    // The directory may be gone with its volume; nobody is left to be told then.
  }
}
