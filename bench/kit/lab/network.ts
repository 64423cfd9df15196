import { command, commandIn } from "./command.ts";
import { startDelayLine, type DelayLine } from "./delay-line.ts";
import { forgetDeadLabs, namespacePrefix } from "./leftovers.ts";
import { bucketOf, segmentBytesMax, tbfArguments } from "./shaping.ts";

export interface Link {
  readonly upBits: number;
  readonly downBits: number;
}

export interface NetworkPlan {
  readonly hosts: readonly (Link & { readonly rack: number })[];
  /** The origin stands in rack 0. */
  readonly origin: Link;
  /** What joins the racks, in each direction; needed when there are several. */
  readonly coreBits?: number;
  /** One way, so that a round trip takes twice that. */
  readonly delayMs: number;
  /** Share of packets that each member does not get. */
  readonly lossShare: number;
}

/** A machine of the network: its name there, the namespace that it lives in, and its address. */
export interface Member {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
}

/** Bytes that went over wires since the network came up, with the headers of every packet. */
export interface WireBytes {
  readonly fromOrigin: number;
  /** What all members together sent. */
  readonly fromAll: number;
  /** What came into other racks than the origin's. */
  readonly intoRacks: number;
}

/** Network namespaces on a bridge that nothing else on this machine can reach. Disposing ends what still runs in them, and removes them. */
export interface Network extends AsyncDisposable {
  readonly hosts: readonly Member[];
  readonly origin: Member;
  /** The program that delays packets, where they are delayed. */
  readonly delayPid: number | undefined;
  wireBytes(): Promise<WireBytes>;
  /** Takes a member's link down, as a pulled cable does: nobody is told; or up again. */
  setLink(member: Member, state: "up" | "down"): Promise<void>;
  /** SIGKILL to every process of a member. */
  killAll(member: Member): Promise<void>;
}

const NET = "10.90.0";
const CONGESTION_CONTROL = "cubic";

export async function startNetwork(plan: NetworkPlan, workDirectory: string): Promise<Network> {
  await forgetDeadLabs();
  await allowCongestionControl();
  await using scope = new AsyncDisposableStack();
  const prefix = namespacePrefix(process.pid);
  const fabric = `${prefix}fabric`;
  const hosts = plan.hosts.map((_, i) => ({ name: `h${i + 1}`, namespace: `${prefix}h${i + 1}`, address: `${NET}.${i + 1}` }));
  const origin = { name: "o", namespace: `${prefix}o`, address: `${NET}.254` };
  const members = [...hosts, origin];
  for (const { namespace } of [{ namespace: fabric }, ...members]) {
    await ip(["netns", "add", namespace]);
    scope.defer(() => removeNamespace(namespace));
  }
  const racks = await buildFabric(fabric, plan);
  const segmentBytes = segmentBytesMax([plan.origin, ...plan.hosts].flatMap(({ upBits, downBits }) => [upBits, downBits]));
  const settings: MemberSettings = {
    fabric,
    segmentBytes,
    lossShare: plan.lossShare,
    delayed: plan.delayMs > 0,
  };
  for (const [i, link] of plan.hosts.entries()) await connect(hosts[i]!, link, racks[link.rack]!, settings); // hosts come from the plan
  await connect(origin, plan.origin, racks[0]!, settings);
  let delayLine: DelayLine | undefined;
  if (plan.delayMs > 0) {
    delayLine = scope.use(
      await startDelayLine({ delayMs: plan.delayMs, namespaces: members.map(({ namespace }) => namespace), workDirectory }),
    );
  }
  const owned = scope.move();
  return {
    hosts,
    origin,
    delayPid: delayLine?.pid,
    async wireBytes() {
      const sent = await Promise.all(members.map(({ namespace }) => sentBytes(namespace, "eth0")));
      const intoRacks = await Promise.all(racks.slice(1).map((_, i) => sentBytes(fabric, `down${i + 1}`)));
      return { fromOrigin: sent.at(-1)!, fromAll: sum(sent), intoRacks: sum(intoRacks) }; // the origin is the last member
    },
    async setLink({ name }, state) {
      await ipIn(fabric, ["link", "set", `to-${name}`, state]);
    },
    killAll: ({ namespace }) => killIn(namespace),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** One bridge per rack; several racks hang on a core by links that are shaped on both ends. Gives the bridges' names. */
async function buildFabric(fabric: string, plan: NetworkPlan): Promise<readonly string[]> {
  const count = Math.max(0, ...plan.hosts.map(({ rack }) => rack)) + 1;
  const bridges = Array.from({ length: count }, (_, i) => `rack${i}`);
  for (const bridge of count > 1 ? [...bridges, "core"] : bridges) {
    await ipIn(fabric, ["link", "add", bridge, "type", "bridge"]);
    await ipIn(fabric, ["link", "set", bridge, "up"]);
  }
  if (count === 1) return bridges;
  if (plan.coreBits === undefined) throw new Error("several racks need a rate of the core");
  for (const [i, bridge] of bridges.entries()) {
    // up0 leads from the rack into the core, down0 from the core into the rack
    await ipIn(fabric, ["link", "add", `up${i}`, "type", "veth", "peer", "name", `down${i}`]);
    await ipIn(fabric, ["link", "set", `up${i}`, "master", bridge, "up"]);
    await ipIn(fabric, ["link", "set", `down${i}`, "master", "core", "up"]);
    await shape(fabric, `up${i}`, plan.coreBits);
    await shape(fabric, `down${i}`, plan.coreBits);
  }
  return bridges;
}

interface MemberSettings {
  readonly fabric: string;
  readonly segmentBytes: number;
  readonly lossShare: number;
  readonly delayed: boolean;
}

async function connect(member: Member, link: Link, bridge: string, settings: MemberSettings): Promise<void> {
  const { namespace, address } = member;
  const port = `to-${member.name}`;
  await ipIn(namespace, ["link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", settings.fabric]);
  await ipIn(namespace, ["link", "set", "eth0", "gso_max_size", `${settings.segmentBytes}`]);
  await ipIn(namespace, ["address", "add", `${address}/24`, "dev", "eth0"]);
  await commandIn(namespace, "sysctl", [
    "-qw",
    "net.ipv6.conf.all.disable_ipv6=1",
    `net.ipv4.tcp_congestion_control=${CONGESTION_CONTROL}`,
    "net.ipv4.tcp_tso_rtt_log=16", // round trips are short here: without it every packet would be a single one
    "net.ipv4.tcp_wmem=4096 262144 16777216",
    "net.ipv4.tcp_rmem=4096 262144 16777216",
  ]);
  // What is lost must be what a real network loses: single packets, not a bundle of many.
  if (settings.lossShare > 0) await commandIn(namespace, "ethtool", ["-K", "eth0", "tso", "off", "gso", "off"]);
  await ipIn(settings.fabric, ["link", "set", port, "master", bridge, "up"]);
  await ipIn(namespace, ["link", "set", "lo", "up"]);
  await ipIn(namespace, ["link", "set", "eth0", "up"]);
  await shape(namespace, "eth0", link.upBits);
  await shape(settings.fabric, port, link.downBits);
  const arriving = ["-A", "PREROUTING", "-i", "eth0"];
  const lost = ["-m", "statistic", "--mode", "random", "--probability", `${settings.lossShare}`, "-j", "DROP"];
  if (settings.lossShare > 0) await commandIn(namespace, "iptables", ["-t", "mangle", ...arriving, ...lost]);
  if (settings.delayed)
    await commandIn(namespace, "iptables", ["-t", "raw", ...arriving, "-j", "NFQUEUE", "--queue-num", "0", "--queue-bypass"]);
}

const shape = (namespace: string, device: string, rateBits: number): Promise<string> =>
  command("tc", ["-n", namespace, "qdisc", "replace", "dev", device, "root", ...tbfArguments(bucketOf(rateBits))]);

/** As the shaper counts them: it knows how many packets a bundle will become. */
async function sentBytes(namespace: string, device: string): Promise<number> {
  const shapers = JSON.parse(await command("tc", ["-n", namespace, "-s", "-j", "qdisc", "show", "dev", device, "root"])) as {
    readonly bytes: number;
  }[];
  return shapers[0]!.bytes; // every device that is asked for has one
}

/** A namespace may only choose among what the machine allows; this adds to that and takes nothing away. */
async function allowCongestionControl(): Promise<void> {
  const key = "net.ipv4.tcp_allowed_congestion_control";
  const allowed = (await command("sysctl", ["-n", key])).trim().split(/\s+/);
  if (!allowed.includes(CONGESTION_CONTROL)) await command("sysctl", ["-qw", `${key}=${[...allowed, CONGESTION_CONTROL].join(" ")}`]);
}

async function removeNamespace(namespace: string): Promise<void> {
  await killIn(namespace);
  await ip(["netns", "delete", namespace]);
}

async function killIn(namespace: string): Promise<void> {
  for (const pid of (await ip(["netns", "pids", namespace])).split("\n").filter(Boolean)) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // ended by itself meanwhile
    }
  }
}

const ip = (args: readonly string[]): Promise<string> => command("ip", args);
const ipIn = (namespace: string, args: readonly string[]): Promise<string> => command("ip", ["-n", namespace, ...args]);
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
