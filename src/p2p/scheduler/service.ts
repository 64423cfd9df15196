import { AnaxError } from "../../base/errors.ts";
import { SchedulerService as OwnService, type SchedulerStatus } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import { SchedulerService } from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import { serviceOf, type GrpcService } from "../../wire/grpc/service.ts";
import { msOf } from "../../wire/grpc/time.ts";
import { parseHostId, parsePeerId, parseTaskId } from "../model/ids.ts";
import { announcePeer } from "./announce-peer.ts";
import { hostFactsOf, wirePeerOf, wireTaskOf } from "./api.ts";
import { attach } from "./attach.ts";
import { explainTask } from "./explain.ts";
import type { SchedulerRunner } from "./runner.ts";
import { isLive, type Peer, type Task } from "./state.ts";

/** Longest time between two announcements that we would wait for. */
const INTERVAL_MAX_MS = 24 * 3_600_000;

export interface ServiceOptions {
  readonly runner: SchedulerRunner;
  readonly schedulerId: string;
  readonly version: string;
}

/** `scheduler.v2.Scheduler` for everybody; what is not here (preheating, persistent and cache tasks) answers UNIMPLEMENTED. */
export function createSchedulerService({ runner }: ServiceOptions): GrpcService {
  return serviceOf(SchedulerService, {
    announcePeer: (call) => announcePeer(runner, call),
    announceHost: ({ host, interval }) => {
      const intervalMs = interval === undefined ? undefined : msOf(interval);
      if (intervalMs !== undefined && !(intervalMs > 0 && intervalMs <= INTERVAL_MAX_MS)) {
        throw new AnaxError("input.invalid", { reason: "the interval is out of range", intervalMs });
      }
      runner.tell({ kind: "hostAnnounced", host: hostFactsOf(host), intervalMs });
      return {};
    },
    listHosts: ({ type }) => ({
      hosts: [...runner.cluster.hosts.values()]
        .filter((host) => isLive(host) && (type === undefined || host.facts.announced.type === type))
        .map((host) => host.facts.announced),
    }),
    deleteHost: ({ hostId }) => {
      runner.tell({ kind: "hostLeft", hostId: parseHostId(hostId) });
      return {};
    },
    statPeer: (request) => wirePeerOf(peerOf(runner, request), runner.epochMs),
    deletePeer: (request) => {
      runner.tell({ kind: "peerDeleted", peerId: peerOf(runner, request).id });
      return {};
    },
    statTask: ({ taskId }) => wireTaskOf(taskOf(runner, taskId), runner.epochMs),
    deleteTask: ({ hostId, taskId }) => {
      runner.tell({ kind: "dropped", hostId: parseHostId(hostId), taskId: parseTaskId(taskId), peerId: undefined });
      return {};
    },
  });
}

/** `anax.v1.Scheduler` for our own daemons and tools. */
export function createOwnService({ runner, schedulerId, version }: ServiceOptions): GrpcService {
  return serviceOf(OwnService, {
    attach: (call) => attach(runner, call, schedulerId),
    explain: ({ taskId, peer }) => explainTask(runner.cluster, taskOf(runner, taskId), { epochMs: runner.epochMs, schedulerId, peer }),
    status: () => statusOf({ runner, schedulerId, version }),
  });
}

export function statusOf({ runner, schedulerId, version }: ServiceOptions): SchedulerStatus {
  const { hosts, tasks, peers } = runner.cluster;
  const hostList = [...hosts.values()].filter(isLive).map((host) => host.facts.announced);
  return { schedulerId, version, hosts: hosts.size, tasks: tasks.size, peers: peers.size, hostList };
}

function taskOf(runner: SchedulerRunner, taskId: string): Task {
  const task = runner.cluster.tasks.get(parseTaskId(taskId));
  if (task === undefined) throw new AnaxError("task.not-found", { taskId });
  return task;
}

function peerOf(runner: SchedulerRunner, request: { readonly taskId: string; readonly peerId: string }): Peer {
  const peer = runner.cluster.peers.get(parsePeerId(request.peerId));
  if (peer === undefined || (request.taskId !== "" && peer.task.id !== request.taskId))
    throw new AnaxError("peer.unknown", { peerId: request.peerId });
  return peer;
}
