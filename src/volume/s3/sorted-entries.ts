import { failed, type DirectoryEntry, type VolumeVerbs } from "../meta/verbs.ts";

/** What a directory entry is in a listing, which is in the order of whole keys: a folder sorts with its slash. */
export interface Item {
  readonly entry: DirectoryEntry;
  /** The name, with a slash where it means what is below. */
  readonly text: string;
}

/** Entries of a directory that are held at once; a larger one is read once for each so many. */
const HELD = 4096;
const PAGE = 1024;

/**
 * The items of a directory in byte order, from `from` on, those that begin with `prefix`. Memory is bounded whatever the size of the directory, which is in no order
 * itself: the smallest are kept, and it is read again for the next ones.
 */
export async function* sortedEntries(
  verbs: VolumeVerbs,
  ino: number,
  {
    prefix,
    from,
    itemsOf,
  }: { readonly prefix: string; readonly from: string; readonly itemsOf: (entry: DirectoryEntry) => readonly Item[] },
): AsyncGenerator<Item> {
  let after: string | undefined;
  for (;;) {
    const { items, more } = await smallest(verbs, ino, (entry) =>
      itemsOf(entry).filter(
        ({ text }) => (after === undefined ? text >= from || from.startsWith(text) : text > after) && matches(text, prefix),
      ),
    );
    yield* items;
    if (!more) return;
    after = items.at(-1)!.text; // there are more than none
  }
}

/** Also a folder in which the prefix goes on. */
const matches = (text: string, prefix: string): boolean => text.startsWith(prefix) || (text.endsWith("/") && prefix.startsWith(text));

async function smallest(
  verbs: VolumeVerbs,
  ino: number,
  wanted: (entry: DirectoryEntry) => readonly Item[],
): Promise<{ readonly items: readonly Item[]; readonly more: boolean }> {
  const items: Item[] = [];
  let more = false;
  const cut = (): void => {
    items.sort((a, b) => (a.text < b.text ? -1 : 1));
    if (items.length > HELD) more = true;
    items.length = Math.min(items.length, HELD);
  };
  for (let cookie = 0; ;) {
    const page = await verbs.readdir(ino, cookie, PAGE, true);
    if (failed(page)) break; // gone meanwhile
    for (const entry of page) items.push(...wanted(entry));
    if (items.length > 2 * HELD) cut();
    if (page.length < PAGE) break;
    cookie = page.at(-1)!.cookie; // it is full
    await new Promise((resolve) => void setImmediate(resolve)); // others have their turn
  }
  cut();
  return { items, more };
}
