import { join } from "node:path";

/** Where a store keeps what below its directory; the format is described in docs/formats/piece-store.md. */
export interface StoreLayout {
  readonly dir: string;
  readonly tasks: string;
  readonly spool: string;
  readonly database: string;
}

export const layoutOf = (dir: string): StoreLayout => ({
  dir,
  tasks: join(dir, "tasks"),
  spool: join(dir, "spool"),
  database: join(dir, "pieces.db"),
});

/** What a file really takes; it may have holes. POSIX counts in units of 512, whatever the block size. */
export const takenBytesOf = ({ blocks }: { readonly blocks: number }): number => blocks * 512;

/** Directories of at most 4096 names each level: every file system handles that well. */
export const groupOf = (id: string): string => id.slice(0, 3);
export const contentPathOf = (layout: StoreLayout, id: string): string => join(layout.tasks, groupOf(id), id);
