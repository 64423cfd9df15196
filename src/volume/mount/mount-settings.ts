import { isAbsolute } from "node:path";
import { AnaxError } from "../../base/errors.ts";
import { nearestOf } from "../../base/nearest.ts";
import { parseDurationMs } from "../../base/units.ts";
import { PEER_WAIT_MS } from "../data/peers/peer-policy.ts";

/** How a volume is mounted, apart from which and where. */
export interface MountSettings {
  readonly readOnly: boolean;
  readonly allowOther: boolean;
  /** Names and attributes may be believed by the kernel for so long; what others change in between it learns by a message. */
  readonly entryMs: number;
  readonly attrMs: number;
  readonly negativeMs: number;
  /** The kernel collects writes and hands them over later. */
  readonly writebackCache: boolean;
  /** The kernel itself ends a mount that has not answered for so long; 0: never. Waiting for a lock counts, too. */
  readonly requestTimeoutMs: number;
  /** What cannot be reached is tried again for so long before the program that asked gets EIO. */
  readonly operationTimeoutMs: number;
  /** A mount process that gives no sign of life for so long is replaced. */
  readonly hangTimeoutMs: number;
  /** What becomes of the path when the volume is gone: free again, or dead, so that nobody writes to the folder below. */
  readonly onGone: "detach" | "poison";
  /** What peers may always take before the bucket is asked for a blob, too. */
  readonly peerWaitMs: number;
  /** Where blobs of a bucket are kept to be read again; undefined: in the data directory. */
  readonly cacheDir: string | undefined;
  /** Port, or host and port, on which it tells how it is; undefined: nowhere. */
  readonly status: string | undefined;
  /** For the kernel, such as `noexec`. */
  readonly kernel: readonly string[];
}

const DEFAULTS: MountSettings = {
  readOnly: false,
  allowOther: false,
  entryMs: 1000,
  attrMs: 1000,
  negativeMs: 0,
  writebackCache: false,
  requestTimeoutMs: 0,
  operationTimeoutMs: 30_000,
  hangTimeoutMs: 10_000,
  onGone: "detach",
  peerWaitMs: PEER_WAIT_MS,
  cacheDir: undefined,
  status: undefined,
  kernel: [],
};

const DURATIONS = {
  entry_timeout: "entryMs",
  attr_timeout: "attrMs",
  negative_timeout: "negativeMs",
  request_timeout: "requestTimeoutMs",
  operation_timeout: "operationTimeoutMs",
  hang_timeout: "hangTimeoutMs",
  peer_wait: "peerWaitMs",
} as const satisfies Readonly<Record<string, keyof MountSettings>>;

const FLAGS: Readonly<Record<string, Partial<MountSettings>>> = {
  ro: { readOnly: true },
  rw: { readOnly: false },
  allow_other: { allowOther: true },
  writeback_cache: { writebackCache: true },
  "on_gone=detach": { onGone: "detach" },
  "on_gone=poison": { onGone: "poison" },
};

/** For mount(8); the kernel takes them for any file system. */
const KERNEL: ReadonlySet<string> = new Set(
  "suid nosuid dev nodev exec noexec async sync dirsync atime noatime diratime nodiratime relatime norelatime strictatime".split(" "),
);

/** What fstab(5) has in the same place and others act upon. */
const OTHERS = /^(defaults|auto|noauto|nofail|_netdev|user|nouser|users|owner|group|x-.*|comment=.*)$/;

const HANG_MS_MIN = 2000;
/** Another mount of the volume waits until the kernel of the first believes nothing any more. */
const BELIEVED_MS_MAX = 5000;

const CACHE_DIR = "cache_dir=";
const STATUS = "status=";

/** Options as `-o` takes them, separated by commas; later ones win. Throws `input.invalid`. */
export function parseMountOptions(text: string, before: Partial<MountSettings> = {}): MountSettings {
  let settings: MountSettings = { ...DEFAULTS, ...before };
  for (const option of text.split(",").filter((each) => each !== "")) {
    if (OTHERS.test(option)) continue;
    if (KERNEL.has(option)) settings = { ...settings, kernel: [...settings.kernel, option] };
    else if (Object.hasOwn(FLAGS, option)) settings = { ...settings, ...FLAGS[option] };
    else if (option.startsWith(CACHE_DIR)) settings = { ...settings, cacheDir: directoryOf(option) };
    else if (option.startsWith(STATUS)) settings = { ...settings, status: option.slice(STATUS.length) };
    else settings = { ...settings, ...durationOf(option) };
  }
  for (const name of ["entryMs", "attrMs", "negativeMs"] as const)
    settings = { ...settings, [name]: Math.min(settings[name], BELIEVED_MS_MAX) };
  if (settings.hangTimeoutMs < HANG_MS_MIN) throw new AnaxError("input.invalid", { option: "hang_timeout", reason: "at least 2s" });
  return settings;
}

function directoryOf(option: string): string {
  const path = option.slice(CACHE_DIR.length);
  if (!isAbsolute(path)) throw new AnaxError("input.invalid", { option, reason: "expected an absolute path" });
  return path;
}

function durationOf(option: string): Partial<MountSettings> {
  const [name = "", value = ""] = option.split("=", 2);
  if (!Object.hasOwn(DURATIONS, name)) {
    const known = [...Object.keys(FLAGS), CACHE_DIR, STATUS, ...Object.keys(DURATIONS).map((each) => `${each}=`), ...KERNEL];
    throw new AnaxError("input.invalid", { option, reason: "no such mount option", didYouMean: nearestOf(name, known) });
  }
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : parseDurationMs(value); // bare numbers are seconds, as other file systems have it
  if (ms === undefined || ms > 2 ** 31 - 1) throw new AnaxError("input.invalid", { option, reason: "expected a duration such as 30s" });
  return { [DURATIONS[name as keyof typeof DURATIONS]]: ms }; // just checked
}
