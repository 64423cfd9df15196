import type { Plan, Scenario } from "./scenario.ts";

/** Seconds that no system can beat, on raw rates: the headers of TCP, IP and Ethernet alone cost 4.5 % more. */
export interface Bounds {
  /** Until the last host that lives has the content, counted from the start of all. */
  readonly lastSeconds: number;
  /** Of each host, from its own start. */
  readonly ownSeconds: readonly number[];
}

export function boundsOf(scenario: Scenario, plan: Plan): Bounds {
  const bits = scenario.bytes * 8;
  const living = plan.hosts.filter(({ dies }) => !dies);
  const fromOrigin = bits / plan.originUpBits; // every byte leaves the origin at least once
  const intoRack = plan.coreBits === undefined ? 0 : bits / plan.coreBits; // and enters each rack at least once
  const ownSeconds = plan.hosts.map(({ downBits, rack }) => Math.max(fromOrigin, bits / downBits, rack === 0 ? 0 : intoRack));
  const sendingBits = plan.originUpBits + living.reduce((sum, { upBits }) => sum + upBits, 0);
  const all = (living.length * bits) / sendingBits; // all copies have to be sent by somebody
  const lastSeconds = Math.max(all, ...plan.hosts.map(({ dies, joinMs }, i) => (dies ? 0 : joinMs / 1000 + ownSeconds[i]!)));
  return { lastSeconds, ownSeconds };
}
