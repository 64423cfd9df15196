import type { EventClass } from "../clients/client.ts";
import type { Refused } from "./parameter-forms.ts";

/** The classes that `A` stands for: all but key misses and new keys. */
const ALL = "g$lshzxetd";
/** In the order in which `CONFIG GET` shows them. */
const ORDER = `${ALL}KEmn`;

const lettersOf = (text: string): string[] => text.split("");

/** `notify-keyspace-events` in the form in which it is kept: each letter once, `A` where all of its classes are there. */
export function notifyFlagsText(text: string): string | Refused {
  const given = new Set(text.replaceAll("A", ALL).split(""));
  if ([...given].some((letter) => !ORDER.includes(letter))) return { problem: "Invalid event class character. Use 'Ag$lshzxeKEtmdn'." };
  const all = lettersOf(ALL).every((letter) => given.has(letter));
  return (
    (all ? "A" : "") +
    lettersOf(ORDER)
      .filter((letter) => given.has(letter) && !(all && ALL.includes(letter)))
      .join("")
  );
}

/** What `notify-keyspace-events` asks for. */
export interface NotifyFlags {
  /** On `__keyspace@…__`, with the event's name. */
  readonly keyspace: boolean;
  /** On `__keyevent@…__`, with the key's name. */
  readonly keyevent: boolean;
  readonly classes: ReadonlySet<EventClass>;
}

export function parseNotifyFlags(text: string): NotifyFlags {
  const letters = text.replaceAll("A", ALL);
  return {
    keyspace: letters.includes("K"),
    keyevent: letters.includes("E"),
    classes: new Set(lettersOf(letters).filter((letter) => letter !== "K" && letter !== "E") as EventClass[]),
  };
}
