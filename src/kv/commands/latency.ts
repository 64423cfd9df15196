import { CommandError } from "../command-error.ts";
import type { Durations } from "../info/durations.ts";
import type { LatencyEvent } from "../info/latencies.ts";
import type { Command } from "./command.ts";
import { helpOf } from "./help.ts";

const FLAGS = ["admin", "noscript", "loading", "stale"] as const;

const subcommand = (name: string, arity: number, about: Pick<Command, "summary" | "since">, run: NonNullable<Command["run"]>): Command => ({
  name: `latency|${name}`,
  arity,
  flags: FLAGS,
  group: "server",
  ...about,
  run,
});

const doctor = subcommand(
  "doctor",
  2,
  { summary: "What the events that took long tell, for people.", since: "2.8.13" },
  ({ store, reply }) => {
    if (store.parameters["latency-monitor-threshold"] === 0)
      return reply.verbatim(
        "Latency monitoring is disabled: nothing was recorded. Set latency-monitor-threshold to the milliseconds from which an event is worth to be kept.\n",
      );
    if (store.latencies.events.size === 0) return reply.verbatim("No event has taken longer than latency-monitor-threshold.\n");
    const lines = [...store.latencies.events].map(
      ([name, { points, maxMs }]) =>
        `${name}: ${points.length} latency spikes, average ${Math.round(points.reduce((sum, { ms }) => sum + ms, 0) / points.length)} ms, worst ${maxMs} ms.\n`,
    );
    reply.verbatim(`Events that took long since the last LATENCY RESET:\n\n${lines.join("")}`);
  },
);

const history = subcommand(
  "history",
  3,
  { summary: "When an event took long, and how long.", since: "2.8.13" },
  ({ store, reply }, request) => {
    const points = store.latencies.events.get(request.text(2))?.points ?? [];
    reply.array(points.length);
    for (const { at, ms } of points) {
      reply.array(2);
      reply.integer(at);
      reply.integer(ms);
    }
  },
);

const latest = subcommand(
  "latest",
  2,
  { summary: "The last time that each event took long, and the worst.", since: "2.8.13" },
  ({ store, reply }) => {
    reply.array(store.latencies.events.size);
    for (const [name, { points, maxMs }] of store.latencies.events) {
      const { at, ms } = points.at(-1)!; // an event has at least one
      reply.array(4);
      reply.bulk(name);
      reply.integer(at);
      reply.integer(ms);
      reply.integer(maxMs);
    }
  },
);

const reset = subcommand("reset", -2, { summary: "Forgets events that took long.", since: "2.8.13" }, ({ store, reply }, request) =>
  reply.integer(store.latencies.reset(request.texts(2))),
);

const GRAPH_LEVELS = "_o#";

const graph = subcommand(
  "graph",
  3,
  { summary: "The history of an event as a picture of letters.", since: "2.8.13" },
  ({ store, reply }, request) => {
    const event = store.latencies.events.get(request.text(2));
    if (event === undefined) throw new CommandError(`ERR No samples available for event '${request.text(2)}'`);
    reply.verbatim(graphOf(request.text(2), event));
  },
);

function graphOf(name: string, { points, maxMs }: LatencyEvent): string {
  const lowest = points.reduce((min, { ms }) => Math.min(min, ms), Infinity);
  const width = Math.max(1, maxMs - lowest);
  const line = points.map(({ ms }) => GRAPH_LEVELS[Math.round(((ms - lowest) / width) * (GRAPH_LEVELS.length - 1))]).join("");
  return `${name} - high ${maxMs} ms, low ${lowest} ms (all time high ${maxMs} ms)\n${"-".repeat(80)}\n${line}\n`;
}

const histogram = subcommand(
  "histogram",
  -2,
  { summary: "How long calls of commands took: counts up to each power of two.", since: "7.0.0" },
  (client, request) => {
    const { statistics, commands } = client.store;
    const wanted = request.texts(2).map((name) => name.toLowerCase());
    const found: (readonly [string, Durations])[] = [];
    for (const [command, { durations }] of statistics.commands) {
      if (durations === undefined) continue;
      const isNamed = wanted.some((name) => name === command.name || (command.name.startsWith(`${name}|`) && commands.all.has(name)));
      if (wanted.length === 0 || isNamed) found.push([command.name, durations]);
    }
    const { reply } = client;
    reply.map(found.length);
    for (const [name, durations] of found) {
      reply.bulk(name);
      reply.map(2);
      reply.bulk("calls");
      reply.integer(durations.count);
      reply.bulk("histogram_usec");
      const counts = durations.cumulative();
      reply.map(counts.length);
      for (const { us, count } of counts) {
        reply.integer(us);
        reply.integer(count);
      }
    }
  },
);

export const LATENCY: Command = {
  name: "latency",
  arity: -2,
  flags: [],
  group: "server",
  summary: "What took long.",
  since: "2.8.13",
  subcommands: [
    doctor,
    graph,
    helpOf("latency", "server", "2.8.13", [
      "DOCTOR",
      "    What the recorded events tell, for people.",
      "GRAPH <event>",
      "    A picture of an event's history.",
      "HISTOGRAM [COMMAND ...]",
      "    How long calls of commands took.",
      "HISTORY <event>",
      "    Times and durations of an event.",
      "LATEST",
      "    The last of each event.",
      "RESET [<event> ...]",
      "    Forgets events.",
    ]),
    histogram,
    history,
    latest,
    reset,
  ],
};
