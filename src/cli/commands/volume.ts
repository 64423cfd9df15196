import { Command } from "commander";
import { fsckCommand, gcCommand, statsCommand } from "../volume/collection.ts";
import { configCommand } from "../volume/config.ts";
import { deleteCommand, purgeCommand, undeleteCommand } from "../volume/deletion.ts";
import { dumpCommand, loadCommand } from "../volume/dump.ts";
import { keyCommand } from "../volume/keys.ts";
import { quotaCommand } from "../volume/quota.ts";
import { serveCommand } from "../volume/serve.ts";
import { serveS3Command } from "../volume/serve-s3.ts";
import { warmupCommand } from "../volume/warmup.ts";
import { trashCommand } from "../volume/trash.ts";
import { attachCommand, cloneCommand, snapshotCommand, createCommand, infoCommand, listCommand, updateCommand } from "../volume/records.ts";

export function command(): Command {
  const volume = new Command("volume")
    .description(
      "Create, inspect, change and delete volumes. They lie in the data directory, and nothing has to run; or a service elsewhere has them (--server).",
    )
    .usage("<command> …");
  for (const make of [
    createCommand,
    attachCommand,
    listCommand,
    infoCommand,
    configCommand,
    updateCommand,
    keyCommand,
    quotaCommand,
    trashCommand,
    cloneCommand,
    snapshotCommand,
    deleteCommand,
    undeleteCommand,
    purgeCommand,
    warmupCommand,
    statsCommand,
    gcCommand,
    fsckCommand,
    dumpCommand,
    loadCommand,
    serveCommand,
    serveS3Command,
  ])
    volume.addCommand(make());
  return volume;
}
