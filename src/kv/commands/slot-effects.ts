import { CommandError, syntaxError } from "../command-error.ts";
import type { Client } from "../clients/client.ts";
import { integerAt } from "../numbers.ts";
import { dropSlotsNow } from "../slots/drop-slots.ts";
import { parseHolding } from "../slots/holding.ts";
import { promoteFile } from "../slots/migration/promotions.ts";
import { STAGED, stagedDirectory } from "../slots/migration/records.ts";
import { parseRange, slotsIn } from "../slots/slot-text.ts";
import type { Command } from "./command.ts";

/** What becomes of moving slots, as journal and replicas are told: docs/formats/slot-migration.md. */
const effect = (name: string, arity: number, summary: string, run: NonNullable<Command["run"]>): Command => ({
  name,
  arity,
  flags: ["admin", "noscript", "loading", "stale"],
  group: "cluster",
  summary,
  since: "7.0.0",
  run(client, request) {
    if (!client.isPrimary && client.store.loading === undefined && client.output.peer !== undefined)
      throw new CommandError("ERR Only a journal, or a primary, may say so");
    run(client, request);
  },
});

const dropSlots = effect("anax.dropslots", -2, "All keys of these slots are gone.", (client: Client, request) => {
  for (const text of request.texts(1)) {
    const range = parseRange(text);
    if (range === undefined) throw syntaxError();
    dropSlotsNow(
      client.store,
      slotsIn([range]).filter((slot) => !(client.isPrimary && isOwn(client, slot))),
    );
  }
});

/** A replica has got its primary's slots: what that one drops of them from now on it does not need any more, while they are all that there is of them here. */
const isOwn = ({ store: { cluster } }: Client, slot: number): boolean =>
  cluster !== undefined && cluster.node.ownerOf(slot) === cluster.node.id;

const promote = effect("anax.promote", 4, "What a file has staged is in place.", ({ store }, request) => {
  const name = request.text(2);
  if (!STAGED.test(name)) throw syntaxError();
  promoteFile(store, stagedDirectory(store.parameters.dir), { name, bytes: integerAt(request, 3) }, integerAt(request, 1));
});

const holds = effect("anax.holds", 4, "All keys that moves have brought to this shard up to this epoch are here.", ({ store }, request) => {
  const holding = parseHolding([...request.texts(1)].join(" "));
  if (holding === undefined) throw syntaxError();
  store.holding = holding;
});

export const SLOT_EFFECT_COMMANDS: readonly Command[] = [dropSlots, promote, holds];
