import type { VolumeFiles } from "../data/volume-files.ts";
import type { VolumeVerbs } from "../meta/verbs.ts";

/** Metadata and content of a volume, for one thread: the I/O worker of a mount, a gateway, a tool. */
export interface OpenVolume extends AsyncDisposable {
  readonly verbs: VolumeVerbs;
  readonly files: VolumeFiles;
}

export interface OpenVolumeOptions {
  readonly dataDir: string;
  readonly volumeUuid: string;
  /** From `VolumeWatch`, in whatever thread that runs. */
  readonly sessionId: number;
}

/** `openVolume` of this file. Throws `volume.not-found`, `volume.not-exist`, `volume.unreachable`, `disk.newer-format`. */
export type OpenVolumeFunction = (options: OpenVolumeOptions) => Promise<OpenVolume>;
