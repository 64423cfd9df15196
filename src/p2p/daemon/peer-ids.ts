import { randomUUID } from "node:crypto";
import { peerIdOf, type PeerId, type TaskId } from "../model/ids.ts";

/** Under which name this host takes part in each task. One name per task while something of it is here, so that a scheduler sees one peer. */
export class PeerIds {
  readonly #host: { readonly ip: string; readonly hostname: string; readonly seed: boolean };
  readonly #byTask = new Map<TaskId, PeerId>();

  constructor(host: { readonly ip: string; readonly hostname: string; readonly seed: boolean }) {
    this.#host = host;
  }

  of(task: TaskId): PeerId {
    const known = this.#byTask.get(task);
    if (known !== undefined) return known;
    const id = peerIdOf({ ...this.#host, uuid: randomUUID() });
    this.#byTask.set(task, id);
    return id;
  }

  /** A download that has begun goes on under its name, although what was here before is gone. */
  keep(task: TaskId, id: PeerId): void {
    this.#byTask.set(task, id);
  }

  peek(task: TaskId): PeerId | undefined {
    return this.#byTask.get(task);
  }

  /** The next download of the task takes part under a new name. */
  forget(task: TaskId): void {
    this.#byTask.delete(task);
  }
}
