import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";

/**
 * A room declares its metrics once, in its `metrics.ts`, as a table of these. Names follow
 * `anax_<room>_<noun>_<unit>[_total]`; label values come from closed unions, never from ids.
 */
export type MetricSpec =
  | { readonly kind: "counter" | "gauge"; readonly name: string; readonly help: string; readonly labels?: readonly string[] }
  | {
      readonly kind: "histogram";
      readonly name: string;
      readonly help: string;
      readonly labels?: readonly string[];
      readonly buckets: readonly number[];
    };

type Instrument<S extends MetricSpec> = S["kind"] extends "counter" ? Counter : S["kind"] extends "gauge" ? Gauge : Histogram;

export type Metrics<T extends Readonly<Record<string, MetricSpec>>> = { readonly [K in keyof T]: Instrument<T[K]> };

/** Metrics of one process; served on `/metrics`. With `runtime`, those of Node itself are added. */
export function createRegistry(options: { readonly runtime: boolean }): Registry {
  const registry = new Registry();
  if (options.runtime) collectDefaultMetrics({ register: registry });
  return registry;
}

/** The instruments of one room; a second room role in the same process shares those that exist already. */
export function metricsOf<const T extends Readonly<Record<string, MetricSpec>>>(registry: Registry, specs: T): Metrics<T> {
  const entries = Object.entries(specs).map(([key, spec]) => [key, registry.getSingleMetric(spec.name) ?? instrumentOf(registry, spec)]);
  return Object.fromEntries(entries) as Metrics<T>;
}

function instrumentOf(registry: Registry, spec: MetricSpec): Counter | Gauge | Histogram {
  const common = { name: spec.name, help: spec.help, labelNames: [...(spec.labels ?? [])], registers: [registry] };
  switch (spec.kind) {
    case "counter":
      return new Counter(common);
    case "gauge":
      return new Gauge(common);
    case "histogram":
      return new Histogram({ ...common, buckets: [...spec.buckets] });
  }
}

export type { Registry } from "prom-client";
