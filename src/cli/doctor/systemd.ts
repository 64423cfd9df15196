import { execFile } from "node:child_process";
import { textIn } from "../../node/kernel-text.ts";
import { findingOf, type Finding, type Place } from "./finding.ts";

const TIMEOUT_MS = 2000;
const OUTPUT_BYTES_MAX = 64 * 1024;
const PROPERTIES = "LoadState,ActiveState,Result,NRestarts,MemoryMax,MemoryHigh,RuntimeDirectory,RuntimeDirectoryPreserve,Restart";
/** The name of the unit in docs/operations/systemd. */
const OWN_UNIT = "anax.service";

/** The unit that runs the daemon, where systemd runs this machine. */
export async function systemd({ pid, socketPath }: Place): Promise<readonly Finding[]> {
  const unit = unitOf(textIn(`/proc/${pid}/cgroup`)) ?? OWN_UNIT;
  return unitFindings(unit, await show(unit), socketPath);
}

/** The service that a process belongs to, from its `/proc/<pid>/cgroup`. */
export const unitOf = (cgroups: string): string | undefined => /\/([\w@:.\\-]{1,250}\.service)(?:\/|$)/m.exec(cgroups)?.[1];

/** From what `systemctl show` printed; none where there is no such unit. */
export function unitFindings(unit: string, shown: string, socketPath: string): readonly Finding[] {
  const facts = new Map(shown.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1).trim()]));
  if (facts.get("LoadState") !== "loaded") return [];
  const [active, result, restarts] = ["ActiveState", "Result", "NRestarts"].map((name) => facts.get(name) ?? "?");
  const found = `${unit} is ${active}, result ${result}, ${restarts} restarts by itself`;
  const lostBy = (facts.get("RuntimeDirectory") ?? "").split(" ").find((name) => name !== "" && socketPath.startsWith(`/run/${name}/`));
  const isSwept = lostBy !== undefined && facts.get("RuntimeDirectoryPreserve") === "no";
  const mend =
    result === "oom-kill"
      ? "raise MemoryMax= in the unit, or lower p2p.daemon.downloadsMax"
      : isSwept
        ? `set RuntimeDirectoryPreserve=yes in the unit: else each restart makes a new /run/${lostBy}, and containers keep the old one`
        : facts.get("Restart") === "no"
          ? "set Restart=always in the unit: else a daemon that was killed stays away"
          : undefined;
  return [findingOf("systemd", found, mend)];
}

/** The empty text where there is no systemd to ask. */
function show(unit: string): Promise<string> {
  return new Promise((resolve) => {
    execFile(
      "systemctl",
      ["show", `--property=${PROPERTIES}`, "--", unit],
      { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX },
      (error, stdout) => resolve(error === null ? stdout : ""),
    );
  });
}
