import type { HostId } from "../../src/p2p/model/ids.ts";
import { placeOf } from "../../src/p2p/scheduler/nearness.ts";
import type { HostFacts } from "../../src/p2p/scheduler/state.ts";
import { Host } from "../../src/wire/grpc/gen/common/v2/common.ts";

/** One of thousands of hosts, told apart by its number. */
export function factsOf(
  at: number,
  { seed = false, location = "" }: { readonly seed?: boolean; readonly location?: string } = {},
): HostFacts {
  const ip = `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`;
  const id = `${ip}-node${at}${seed ? "-seed" : ""}` as HostId;
  const announced = { ...Host.fromPartial({}), id, ip, port: 4000, downloadPort: 4005 };
  return { id, hostname: `node${at}`, ip, port: 4000, seed, sharing: true, place: placeOf("", location), announced };
}
