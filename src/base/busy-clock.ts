import { performance } from "node:perf_hooks"; // the global one is looked up anew by each call
import { realClock, type Clock } from "./clock.ts";

/** The machine's own clock for whoever asks for each of many small things: half as dear to ask as `realClock`, but it takes 2 ms to load. */
export const busyClock: Clock = { ...realClock, nowMs: () => performance.now() };
