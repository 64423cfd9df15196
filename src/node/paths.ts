import { join } from "node:path";

// An `import` of it would load its streams, too, which takes longer than all that is done with it here.
const { existsSync } = process.getBuiltinModule("node:fs");
const homedir = (): string => process.getBuiltinModule("node:os").homedir();

type Environment = Readonly<Record<string, string | undefined>>;

/** Read when neither the command line nor `ANAX_CONFIG` names a file. */
export const SYSTEM_FILE = "/etc/anax/anax.yaml";

/** The settings file in force, if any. */
export function settingsFile(named: string | undefined, env: Environment): string | undefined {
  return named ?? env["ANAX_CONFIG"] ?? (existsSync(SYSTEM_FILE) ? SYSTEM_FILE : undefined);
}

/** Where everything that must survive is kept when no setting says so. */
export function defaultDataDir(env: Environment): string {
  if (isRoot()) return "/var/lib/anax";
  return join(env["XDG_DATA_HOME"] || join(homedir(), ".local/share"), "anax");
}

/** Where compiled code is kept between runs. Nobody but this user may write there, since what lies there is run. */
export function codeCacheDir(env: Environment): string {
  if (isRoot()) return "/var/cache/anax/code";
  return join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "anax/code");
}

/** The socket of the daemon with this data directory, when no setting says otherwise. */
export const socketIn = (dataDir: string): string => join(dataDir, "daemon.sock");

const isRoot = (): boolean => process.getuid?.() === 0;
