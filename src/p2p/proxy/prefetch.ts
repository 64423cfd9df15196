import type { Log } from "../../base/log.ts";
import type { TaskId } from "../model/ids.ts";
import type { DownloadRequest, Downloads } from "../daemon/types.ts";

/** Downloads of whole contents that outlive the request for a part of them. At most `max` at a time; further ones are left out. */
export class Prefetches implements Disposable {
  readonly #running = new Map<TaskId, Disposable>();
  readonly #downloads: Downloads;
  readonly #max: number;
  readonly #log: Log;

  constructor(parts: { readonly downloads: Downloads; readonly max: number; readonly log: Log }) {
    this.#downloads = parts.downloads;
    this.#max = parts.max;
    this.#log = parts.log;
  }

  start(request: DownloadRequest): void {
    if (this.#running.size >= this.#max) return;
    const download = this.#downloads.start(request);
    if (this.#running.has(download.taskId)) return download[Symbol.dispose]();
    this.#running.set(download.taskId, download);
    void download.done
      .catch((error: unknown) => this.#log.warn("proxy.prefetch-failed", { taskId: download.taskId, reason: String(error) }))
      .finally(() => {
        this.#running.delete(download.taskId);
        download[Symbol.dispose]();
      });
  }

  [Symbol.dispose](): void {
    for (const download of this.#running.values()) download[Symbol.dispose]();
  }
}
