import type { Store } from "../../store.ts";
import { CommandError } from "../../command-error.ts";

/** Kills the process at a state edge, or stops it there, as DEBUG has asked for: tests of crashes need a crash at a place, not at a time. */
export class Failpoints {
  readonly #set = new Map<string, { readonly signal: NodeJS.Signals; left: number }>();

  constructor(store: Store) {
    store.debug.set("migration-failpoint", (client, request) => {
      const clears = request.count === 3 && request.word(2) === "none";
      if (!clears && request.count !== 5)
        throw new CommandError("ERR DEBUG MIGRATION-FAILPOINT NONE | <role>.<state>.<before|after> <KILL|STOP> <count>");
      if (clears) {
        this.#set.clear();
        return client.reply.ok();
      }
      const signal = request.word(3) === "stop" ? "SIGSTOP" : "SIGKILL";
      this.#set.set(request.word(2), { signal, left: Number(request.text(4)) });
      client.reply.ok();
    });
  }

  pass(name: string): void {
    if (this.#set.size === 0) return;
    const point = this.#set.get(name);
    if (point === undefined || --point.left > 0) return;
    this.#set.delete(name);
    process.kill(process.pid, point.signal);
  }
}
