import type { HostPlan, Plan, Scenario } from "./scenario.ts";

/** Seconds that no system can beat, on raw rates: the headers of TCP, IP and Ethernet alone cost 4.5 % more. */
export interface Bounds {
  /** Until the last host that lives has the content, counted from the start of all. */
  readonly lastSeconds: number;
  /** Of each host, from its own start. */
  readonly ownSeconds: readonly number[];
}

export function boundsOf(scenario: Scenario, plan: Plan): Bounds {
  const bits = (scenario.bytes * 8) / (1 - (scenario.lossShare ?? 0)); // what is lost has used the link, and comes again
  const fromOrigin = bits / plan.originUpBits; // every byte leaves the origin at least once
  const intoRack = plan.coreBits === undefined ? 0 : bits / plan.coreBits; // and enters each rack at least once
  const ownSeconds = plan.hosts.map(({ downBits, rack, joinMs }) => {
    const comesBy = Math.max(fromOrigin, rack === ORIGIN_RACK ? 0 : intoRack) - joinMs / 1000; // others may have fetched it before
    return Math.max(bits / downBits, comesBy); // and every host receives all of it over its own link
  });
  const living = plan.hosts.filter(({ dies }) => !dies);
  const lastSeconds = Math.max(sendingSeconds(bits, plan, living.length), ...living.map((host) => endOf(host, ownSeconds, plan)));
  return { lastSeconds, ownSeconds };
}

const ORIGIN_RACK = 0;

/** All copies have to be sent by somebody: the origin and the hosts, those that die too, as if they sent until the end. */
const sendingSeconds = (bits: number, { originUpBits, hosts }: Plan, copies: number): number =>
  (copies * bits) / (originUpBits + hosts.reduce((sum, { upBits }) => sum + upBits, 0));

const endOf = (host: HostPlan, ownSeconds: readonly number[], { hosts }: Plan): number =>
  host.joinMs / 1000 + ownSeconds[hosts.indexOf(host)]!; // one per host
