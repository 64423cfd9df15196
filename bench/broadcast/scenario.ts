/** One row of the benchmark, as data. Rates are shares of `rateBits`, the rate of an ordinary host's link. */
export interface Scenario {
  readonly name: string;
  readonly title: string;
  readonly n: number;
  readonly bytes: number;
  readonly rateBits: number;
  readonly delayMs: number;
  readonly lossShare?: number;
  /** What the origin sends at, as a share; 1 unless said. */
  readonly originUp?: number;
  /** Rates of the hosts' uplinks, dealt out in turns; 1 unless said. */
  readonly uplinks?: readonly number[];
  /** One host whose link is slower in both directions. */
  readonly slow?: { readonly host: number; readonly share: number };
  /** Racks of equal size whose links to the core carry 1/oversubscription of what their hosts could send. */
  readonly racks?: { readonly count: number; readonly oversubscription: number };
  /** The hosts begin one after the other, evenly over this time. */
  readonly joinsOverMs?: number;
  /** This share of the hosts is killed when so much of the bound's time has passed. */
  readonly deaths?: { readonly share: number; readonly atBoundShare: number };
  /** The scheduler, or the tracker, is killed then and started again after a while. */
  readonly outage?: { readonly atBoundShare: number; readonly lastsMs: number };
  /** `last`: the time of the last host beside the swarm's bound. `own`: the worst of each host's own time beside its own bound. */
  readonly judged: "last" | "own";
  /** Why no system can be faster than the bound. */
  readonly bound: string;
  readonly required: Requirement;
  /** Run a plain chain of forwarders beside, which shows what the network and this machine allow. */
  readonly calibrated?: boolean;
  /** Run only when it is named. */
  readonly extra?: boolean;
}

export interface Requirement {
  readonly ratioLast: number;
  readonly originCopies: number;
}

/** A host as the scenario wants it. */
export interface HostPlan {
  readonly upBits: number;
  readonly downBits: number;
  readonly rack: number;
  readonly joinMs: number;
  readonly dies: boolean;
}

export interface Plan {
  readonly hosts: readonly HostPlan[];
  readonly originUpBits: number;
  readonly originDownBits: number;
  readonly coreBits: number | undefined;
}

export function planOf(scenario: Scenario): Plan {
  const { n, rateBits, uplinks = [1], slow, racks, joinsOverMs = 0 } = scenario;
  const originUp = scenario.originUp ?? 1;
  const dying = new Set(dyingOf(scenario));
  const hosts = Array.from({ length: n }, (_, i): HostPlan => {
    const share = slow?.host === i + 1 ? slow.share : 1;
    return {
      upBits: rateBits * share * uplinks[i % uplinks.length]!, // never empty
      downBits: rateBits * share,
      rack: racks === undefined ? 0 : Math.floor((i * racks.count) / n),
      joinMs: n > 1 ? Math.round((joinsOverMs * i) / (n - 1)) : 0,
      dies: dying.has(i),
    };
  });
  return {
    hosts,
    originUpBits: rateBits * originUp,
    originDownBits: rateBits * Math.max(1, originUp),
    coreBits: racks === undefined ? undefined : (rateBits * n) / racks.count / racks.oversubscription,
  };
}

/** Spread evenly, and neither the first nor the last: nobody is special but by what the system makes of him. */
function dyingOf({ n, deaths }: Scenario): readonly number[] {
  if (deaths === undefined) return [];
  const count = Math.max(1, Math.round(n * deaths.share));
  return Array.from({ length: count }, (_, k) => Math.floor(((k + 0.5) * n) / count));
}
