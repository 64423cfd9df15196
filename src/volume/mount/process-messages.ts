import type { LogLevel } from "../../base/log.ts";
import type { EventSource } from "../lifecycle/volume-watch.ts";
import type { EndReason } from "./messages.ts";
import type { ProcessFigures } from "./mount-meter.ts";
import type { MountSettings } from "./mount-settings.ts";

/** Number of the descriptor of /dev/fuse in a mount process. */
export const DEVICE_FD = 3;

export interface MountRequest {
  readonly dataDir: string;
  /** Name or uuid. */
  readonly volume: string;
  /** Absolute, without symbolic links. */
  readonly dir: string;
  readonly settings: MountSettings;
  /** Unix socket of this machine's daemon, whether or not it runs. */
  readonly daemonSocket?: string | undefined;
  readonly logLevel: LogLevel;
}

/** From the supervisor to its mount process. */
export type ToMountProcess =
  /** Open the volume and begin a session; answered with `prepared` or `refused`. */
  | { readonly kind: "prepare"; readonly request: MountRequest }
  /** The descriptor is mounted: serve it; answered with `serving`. */
  | { readonly kind: "serve" }
  /** Commit all that is written; answered with `flushed`. */
  | { readonly kind: "flush" };

/** Why a client leaves its volume, with what is needed for the record. */
export interface GoneFacts {
  readonly volumeUuid: string;
  readonly epoch: number;
  readonly deletedAtMs: number | undefined;
  readonly deletedBy: string | undefined;
  readonly source: EventSource;
  readonly openFiles: number;
  readonly lostFiles: number;
  readonly lostBytes: number;
}

export type FromMountProcess =
  | { readonly kind: "prepared"; readonly volume: string; readonly volumeUuid: string; readonly readOnly: boolean }
  | { readonly kind: "refused"; readonly code: string; readonly details: Readonly<Record<string, unknown>> }
  | { readonly kind: "serving" }
  /** Each second: its two threads are alive. */
  | { readonly kind: "alive"; readonly served: number; readonly delayed: number; readonly figures: ProcessFigures }
  | { readonly kind: "flushed"; readonly errno: number }
  | ({ readonly kind: "gone" } & GoneFacts)
  | { readonly kind: "ended"; readonly reason: EndReason; readonly lostFiles: number; readonly lostBytes: number };
