import { resolve } from "node:path";
import { Command } from "commander";
import { AnaxError } from "../../base/errors.ts";
import { detach, unmountIdle } from "../../volume/mount/kernel-mount.ts";
import { MOUNT_TYPE, mountAt } from "../../volume/mount/mount-table.ts";
import { printJson, printLine } from "../output.ts";

export function command(): Command {
  return new Command("umount")
    .description("Unmount a volume. Its processes end by themselves, with all that was written committed.")
    .argument("<dir>", "where it is mounted")
    .option("--force", "even while programs use it: they get errors, and what they have written but not closed is still committed")
    .option("--json", "print one JSON line")
    .action(async (text: string, { force, json }: { readonly force?: boolean; readonly json?: boolean }) => {
      const dir = resolve(text); // not `realpath`: a dead mount answers nothing
      const entry = mountAt(dir);
      if (entry?.type !== MOUNT_TYPE) throw new AnaxError("input.invalid", { dir, reason: "no volume is mounted there" });
      if (force === true) await detach(dir);
      else if (!(await unmountIdle(dir))) throw new AnaxError("volume.mount-busy", { dir, hint: "--force unmounts it all the same" });
      if (json === true) printJson({ event: "unmounted", dir, source: entry.source });
      else printLine(`${entry.source} is unmounted from ${dir}`);
    });
}
