import type { Store } from "../store.ts";
import { INFO_SECTIONS } from "./sections.ts";

/** The text of INFO, for these sections: none named means the default ones. */
export function infoText(store: Store, wanted: readonly string[]): string {
  const words = wanted.length === 0 ? ["default"] : wanted.map((word) => word.toLowerCase());
  const everything = words.includes("everything") || words.includes("all");
  const usual = words.includes("default");
  const parts: string[] = [];
  for (const [name, { title, quiet, fields }] of Object.entries(INFO_SECTIONS)) {
    const named = words.includes(name) || (everything && (name !== "modules" || words.includes("everything")));
    if (!named && !(usual && quiet !== true)) continue;
    const section = store.infoSections.get(name) ?? fields;
    parts.push(
      `# ${title}\r\n${section(store)
        .map(([field, value]) => `${field}:${value}\r\n`)
        .join("")}`,
    );
  }
  return parts.join("\r\n");
}
