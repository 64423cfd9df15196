import { countOf, type UnitResult } from "./outcome.ts";
import type { Profile } from "./profiles.ts";

/** The page of the reference: every unit, and each test that fails or is not run. */
export function reportOf(results: readonly UnitResult[], profile: Profile, version: string): string {
  const all = results.flatMap(({ outcomes }) => outcomes);
  const rows = results.map(
    ({ unit, outcomes }) => `| ${unit} | ${countOf(outcomes, "ok")} | ${countOf(outcomes, "err")} | ${countOf(outcomes, "ignored")} |`,
  );
  const details = results.flatMap(({ unit, outcomes }) => {
    const notOk = outcomes.filter(({ verdict }) => verdict !== "ok");
    if (notOk.length === 0) return [];
    return [
      `### ${unit}`,
      "",
      ...notOk.map(
        ({ name, verdict, reason }) =>
          `- ${verdict === "err" ? "fails" : "not run"}: ${plain(name)}${reason === undefined ? "" : ` (${plain(reason)})`}`,
      ),
      "",
    ];
  });
  return `${[
    "# Compatibility with Redis",
    "",
    "<!-- Made by npm run test:redis -- --docs; do not edit. -->",
    "",
    `What the test suite of Redis ${version} says of the store, profile \`${profile.name}\` (${profile.about}): ` +
      `${countOf(all, "ok")} tests pass, ${countOf(all, "err")} fail, ${countOf(all, "ignored")} are not run.`,
    "",
    "| Unit | Pass | Fail | Not run |",
    "| --- | ---: | ---: | ---: |",
    ...rows,
    "",
    "## What fails or is not run",
    "",
    ...details,
  ]
    .join("\n")
    .trimEnd()}\n`;
}

const plain = (text: string): string =>
  text
    .replaceAll(/[<>|`*_[\]]/g, " ")
    .replaceAll(/[^\x20-\x7E]/g, "?")
    .trim();
