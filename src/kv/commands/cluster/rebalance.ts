import type { Client } from "../../clients/client.ts";
import type { Cluster } from "../../cluster/start-cluster.ts";
import { readTurn } from "../../cluster/rebalance/turn.ts";
import { parseWeight, readWeights, setWeights, WEIGHT_DEFAULT, WEIGHT_MAX } from "../../cluster/rebalance/weights.ts";
import { reportOf } from "../../cluster/rebalance/report.ts";
import { CommandError, syntaxError } from "../../command-error.ts";
import type { Request } from "../../../wire/resp/request.ts";
import type { Command } from "../command.ts";
import { migrationsOf } from "./slot-migration.ts";
import { answerLater, answerOk, clusterOf, memberAt, orders } from "./subcommand.ts";

function show(client: Client, { node }: Cluster): void {
  const { register, self, store } = node;
  const { parameters } = store;
  const read = async () => ({
    turn: await readTurn(register, self.cluster),
    weights: await readWeights(register, self.cluster),
  });
  answerLater(client, read(), ({ turn, weights }) => {
    const { reply } = client;
    const shown: readonly (readonly [string, string | number])[] = [
      ["enabled", parameters["cluster-rebalance"] ? "yes" : "no"],
      ["runner", turn.runner],
      ["active", turn.active ? 1 : 0],
      ["state", turn.state],
      ["by", parameters["cluster-rebalance-by"]],
      ["threshold", parameters["cluster-rebalance-threshold"]],
      ["moves", parameters["cluster-rebalance-moves"]],
    ];
    reply.map(shown.length + 1);
    for (const [name, value] of shown) {
      reply.bulk(name);
      if (typeof value === "number") reply.integer(value);
      else reply.bulk(value);
    }
    const primaries = node.known.filter(({ primary }) => primary === "");
    reply.bulk("weights");
    reply.map(primaries.length);
    for (const { id, shard } of primaries) {
      reply.bulk(id);
      reply.bulk(String(weights[shard] ?? WEIGHT_DEFAULT));
    }
  });
}

function setWeight(client: Client, request: Request, cluster: Cluster): void {
  if (request.count < 5 || request.count % 2 !== 1) throw syntaxError();
  const { node } = cluster;
  const wanted: Record<string, number> = {};
  for (let at = 3; at < request.count; at += 2) {
    const weight = parseWeight(request.text(at + 1));
    if (weight === undefined) throw new CommandError(`ERR A weight is a number from 0 to ${WEIGHT_MAX}`);
    wanted[memberAt(request, at, cluster).shard] = weight;
  }
  answerOk(client, setWeights(node.register, node.self.cluster, wanted, new Set(node.known.map(({ shard }) => shard))));
}

const rebalance = orders("cluster")("rebalance", -2, "How slots are spread by themselves, and the weights of nodes.", (client, request) => {
  const cluster = clusterOf(client);
  if (request.count === 2) return show(client, cluster);
  const what = request.word(2);
  if (what === "weight") return setWeight(client, request, cluster);
  const withLoads = request.count === 3;
  if (what !== "report" || (!withLoads && (request.count > 4 || request.word(3) !== "moves"))) throw syntaxError();
  client.reply.bulk(JSON.stringify(reportOf(cluster.node, migrationsOf(client), withLoads)));
});

export const REBALANCE: readonly Command[] = [rebalance];

export const REBALANCE_HELP: readonly string[] = [
  "REBALANCE",
  "    Tell which node spreads the slots, how that goes, and the weights of nodes.",
  "REBALANCE REPORT [MOVES]",
  "    Tell keys and bytes of this node's slots, unless only moves are asked for, and what moves from here, in JSON.",
  "REBALANCE WEIGHT <node-id> <weight> [<node-id> <weight> ...]",
  "    Set what part of the slots nodes are to have; 0: none.",
];
