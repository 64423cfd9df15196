import type { Session } from "../meta/control.ts";
import { failed } from "../meta/verbs.ts";
import type { Bucket } from "./bucket.ts";

/** Looked at when a volume is opened; the next time goes on. */
const DRAFTS_MAX = 10_000;

/** Removes what gateways were writing that live no more. */
export async function removeLeftDrafts(bucket: Bucket, sessions: readonly Session[]): Promise<void> {
  const { verbs } = bucket;
  const folder = await bucket.findWorkFolder("drafts");
  if (folder === undefined) return;
  const living = new Set(sessions.map(({ id }) => id));
  const drafts = await verbs.readdir(folder, 0, DRAFTS_MAX, false);
  if (failed(drafts)) return;
  for (const { name, ino } of drafts) {
    if (living.has(Number(name.split("-")[0]))) continue;
    await verbs.setattr(ino, { size: 0 }); // the trash keeps no content of what never was
    await verbs.unlink(folder, name); // where nothing may change now, the next one does it
  }
  await verbs.settle(false);
}
