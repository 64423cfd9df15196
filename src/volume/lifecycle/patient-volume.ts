import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { isPending, type Answer } from "../meta/verbs.ts";
import type { OpenVolume } from "./open-volume.ts";
import type { VolumeWatch } from "./volume-watch.ts";

/** Longest time for a file that another session holds, and how often it is looked for. */
const PATIENCE_MS = 30_000;
const LOOK_MS = 50;

/** The volume for who can wait: what another session holds is asked for, and waited for, where the verbs themselves would throw `volume.leased`. */
export function patientVolume(volume: OpenVolume, watch: Pick<VolumeWatch, "want">, clock: Clock): OpenVolume {
  const later = async <T>(first: unknown, work: () => Answer<T>): Promise<T> => {
    const untilMs = clock.nowMs() + PATIENCE_MS;
    for (let thrown = first; ;) {
      if (!(thrown instanceof AnaxError) || thrown.code !== "volume.leased" || clock.nowMs() > untilMs) throw thrown;
      await volume.verbs.settle(false); // no change is left open, which would keep everybody else waiting
      watch.want(Number(thrown.details["ino"]), Number(thrown.details["session"]));
      await clock.sleep(LOOK_MS);
      try {
        return await work();
      } catch (again) {
        thrown = again;
      }
    }
  };
  const patient = <T>(work: () => Answer<T>): Answer<T> => {
    try {
      const answer = work();
      return isPending(answer) ? answer.catch((thrown: unknown) => later(thrown, work)) : answer;
    } catch (thrown) {
      return later(thrown, work);
    }
  };
  const wrapped = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(_, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== "function") return value;
        return (...args: readonly unknown[]) => patient(() => Reflect.apply(value, target, args) as Answer<unknown>);
      },
    });
  return {
    verbs: wrapped(volume.verbs),
    files: wrapped(volume.files),
    leases: volume.leases,
    get backlogBytes() {
      return volume.backlogBytes;
    },
    [Symbol.asyncDispose]: () => volume[Symbol.asyncDispose](),
  };
}
