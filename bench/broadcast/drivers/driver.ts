import type { Member } from "../../kit/lab/network.ts";
import type { Processes } from "../../kit/lab/processes.ts";

/** What is brought to the hosts. */
export interface Content {
  readonly path: string;
  /** Another file in the same directory, which a service brings to all hosts before it is timed; undefined: none has done anything yet. */
  readonly warmPath: string | undefined;
  readonly bytes: number;
  readonly sha256: string;
}

/** Where a driver plays: the members' network, and who starts processes in it. */
export interface Stage {
  readonly hosts: readonly Member[];
  readonly origin: Member;
  readonly racks: readonly number[];
  readonly content: Content;
  readonly processes: Processes;
  /** In memory. `copies/<host>/copy` is where a host's copy must come to lie. */
  readonly directory: string;
}

/** A system under test that is up: everything runs that would run on a machine before somebody asks for something. */
export interface Contestant {
  /** Brings the content to one host; timed. */
  get(host: Member): Promise<void>;
  /** SIGKILL to the scheduler or tracker. */
  killCoordinator(): void;
  startCoordinator(): Promise<void>;
}

export interface Driver {
  readonly name: string;
  start(stage: Stage): Promise<Contestant>;
}

export const copyPathOf = (stage: Stage, host: Member): string => `${stage.directory}/copies/${host.name}/copy`;
