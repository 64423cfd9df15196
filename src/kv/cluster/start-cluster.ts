import { randomBytes } from "node:crypto";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import type { Log } from "../../base/log.ts";
import type { Register } from "../../register/register.ts";
import { CommandError } from "../command-error.ts";
import { parseRange, rangesOf, rangesText, slotsIn } from "../slots/slot-text.ts";
import type { Store } from "../store.ts";
import { ClusterChanges } from "./changes.ts";
import { ClusterNode } from "./cluster-node.ts";
import { watchDepartures } from "./departures.ts";
import { ClusterKeeper } from "./keeper.ts";
import type { Introduction } from "./members.ts";
import { PeerLinks } from "./peer-links.ts";
import { NodeFileWriter, readNodeFile } from "./node-file.ts";

/** What Redis adds to a port for its own bus; nothing listens there. */
const BUS_OFFSET = 10_000;

/** This store as a node of a cluster. */
export interface Cluster extends AsyncDisposable {
  readonly node: ClusterNode;
  readonly keeper: ClusterKeeper;
  readonly changes: ClusterChanges;
  readonly peers: PeerLinks;
  /** `cluster-announce-…` has other values. */
  announce(): void;
  /** Once it listens. */
  start(): Promise<void>;
}

/** Makes a store a node of a cluster; from now on commands go by it. Takes the register over. Throws `disk.*`, or a `CommandError` for settings that do not fit. */
export function openCluster(store: Store, register: Register, log: Log): Cluster {
  if (store.parameters.replicaof !== "") throw new CommandError("ERR replicaof directive not allowed in cluster mode");
  const directory = store.persistence?.files;
  const path = directory?.lasts === true ? join(directory.path, store.parameters["cluster-config-file"]) : undefined;
  const before = path === undefined ? undefined : readNodeFile(path);
  const id = before?.id ?? randomBytes(20).toString("hex");
  const introduction = (): Introduction => introductionOf(store, id);
  const node = new ClusterNode(store, register, log, introduction(), randomBytes(20).toString("hex"));
  for (const [slot, peer] of before?.migrating ?? []) node.migrating.set(slot, peer);
  for (const [slot, peer] of before?.importing ?? []) node.importing.set(slot, peer);
  if (before !== undefined) node.floor = before.seen;
  for (const slot of slotsIn(before?.had.split(" ").flatMap((text) => parseRange(text) ?? []) ?? [])) node.had[slot] = 1;
  if (path !== undefined) keepOnDisk(node, path);
  const keeper = new ClusterKeeper(node, introduction);
  const changes = new ClusterChanges(keeper);
  const peers = new PeerLinks(node);
  watchDepartures(node, changes);
  keeper.tidy = () => changes.tidy();
  keeper.tellNews = (members = node.known) => peers.tellNews(members);
  return {
    node,
    keeper,
    changes,
    peers,
    announce() {
      node.reannounced(introduction());
      keeper.introduce();
    },
    async start() {
      await node.persist(); // its name, before others learn it
      await keeper.start();
    },
    async [Symbol.asyncDispose]() {
      peers[Symbol.dispose]();
      await keeper[Symbol.asyncDispose]();
    },
  };
}

function keepOnDisk(node: ClusterNode, path: string): void {
  const writer = new NodeFileWriter(path, () => ({
    format: 1,
    id: node.id,
    seen: { cluster: node.self.cluster, epoch: node.map.epoch },
    migrating: [...node.migrating],
    importing: [...node.importing],
    had: rangesText(rangesOf([...node.had.keys()].filter((slot) => node.had[slot] === 1))),
  }));
  node.persist = () => writer.write();
  node.onMap.add(() => void writer.write().catch((error: unknown) => node.log.error("store.cluster-file-failed", { error })));
}

function introductionOf({ parameters, listeners }: Store, id: string): Introduction {
  const port = parameters["cluster-announce-port"] || (listeners?.port("plain") ?? 0);
  return {
    id,
    host: parameters["cluster-announce-ip"] || ownAddress(parameters.bind),
    port,
    tlsPort: parameters["cluster-announce-tls-port"] || (listeners?.port("tls") ?? 0),
    busPort: parameters["cluster-announce-bus-port"] || parameters["cluster-port"] || port + BUS_OFFSET,
    hostname: parameters["cluster-announce-hostname"],
    machine: hostname(),
  };
}

/** The first address that it listens at; of a machine's, where that is any, the first that others can reach. */
function ownAddress(bind: string): string {
  const first =
    bind
      .split(/\s+/)
      .find((word) => word !== "")
      ?.replace(/^-/, "") ?? "*";
  if (!["*", "0.0.0.0", "::", "::*"].includes(first)) return first;
  const reachable = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === "IPv4");
  return reachable?.address ?? "127.0.0.1";
}
