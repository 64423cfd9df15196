import { Command } from "commander";
import { AnaxError } from "../../base/errors.ts";
import { socketPathOf } from "../../node/config.ts";
import { join } from "node:path";
import { textIn } from "../../node/kernel-text.ts";
import { CHECKS } from "../doctor/checks.ts";
import type { Finding, Place } from "../doctor/finding.ts";
import { withSettings, type SettingOptions } from "../options.ts";
import { settingsOf } from "../settings.ts";
import { PID_FILE } from "../../disk/directory-lock.ts";
import { colorsOn } from "../colors.ts";
import { printJson, printLine } from "../output.ts";

const pc = colorsOn(process.stdout);
const MARKS = { ok: pc.green("ok  "), warn: pc.yellow("warn"), fail: pc.red("FAIL") } as const;

export function command(): Command {
  return withSettings(new Command("doctor"))
    .description(
      "Check this machine: settings, disk, memory, limits, how the last run ended, ports, daemon and schedulers; says what to mend. Exit code 1 when something must be.",
    )
    .option("--json", "JSON lines, one per check")
    .action(async (options: SettingOptions & { readonly json?: boolean }) => {
      const findings = await examine(options);
      for (const finding of findings) {
        if (options.json === true) printJson(finding);
        else show(finding);
      }
      if (findings.some(({ state }) => state === "fail")) process.exitCode = 1;
    });
}

async function examine(options: SettingOptions): Promise<readonly Finding[]> {
  try {
    const config = settingsOf(options);
    const place = { config, socketPath: socketPathOf(config), pid: runningPid(config.dataDir) };
    return (await Promise.all(CHECKS.map(async (check) => check(place)))).flat();
  } catch (thrown) {
    if (!(thrown instanceof AnaxError)) throw thrown;
    return [{ check: "settings", state: "fail", found: thrown.message, mend: "correct the settings; anax config --help describes each" }];
  }
}

/** Of the daemon that holds the data directory's lock. */
function runningPid(dataDir: string): Place["pid"] {
  const text = textIn(join(dataDir, PID_FILE)).trim();
  const isAnax = /^[1-9]\d{0,9}$/.test(text) && textIn(`/proc/${text}/cmdline`).includes("anax"); // pids come back
  return isAnax ? Number(text) : "self";
}

function show({ check, state, found, mend }: Finding): void {
  printLine(`${MARKS[state]}  ${check.padEnd(16)} ${found}`);
  if (mend !== undefined) printLine(`      ${"".padEnd(16)} → ${mend}`);
}
