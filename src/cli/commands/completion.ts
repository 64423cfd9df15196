import { Argument, Command } from "commander";
import { printLine } from "../output.ts";

export function command(): Command {
  return new Command("completion")
    .description("Print a completion script. bash: source <(anax completion bash)")
    .addArgument(new Argument("<shell>").choices(["bash", "zsh", "fish"]))
    .action(async (shell: "bash" | "zsh" | "fish") => {
      const { allCommands } = await import("../main.ts"); // needed here only, and main loads this file
      printLine(SCRIPTS[shell]((await allCommands()).map(wordsOf)).trimEnd());
    });
}

interface Words {
  readonly name: string;
  readonly summary: string;
  /** What its arguments may be, where that is a short list. */
  readonly choices: readonly string[];
  readonly flags: readonly { readonly long: string; readonly description: string }[];
}

function wordsOf(described: Command): Words {
  const flags = described.options
    .filter((option) => !option.hidden && option.long)
    .map(({ long, description }) => ({ long: long!, description })); // just checked
  return {
    name: described.name(),
    summary: described.description().split(".")[0]!,
    choices: described.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []),
    flags: [...flags, { long: "--help", description: "help" }],
  };
}

const SCRIPTS: Readonly<Record<"bash" | "zsh" | "fish", (commands: readonly Words[]) => string>> = {
  bash: (commands) => `_anax() {
  local cur=\${COMP_WORDS[COMP_CWORD]}
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${commands.map(({ name }) => name).join(" ")}" -- "$cur")); return
  fi
  local words= choices=
  case \${COMP_WORDS[1]} in
${commands.map(({ name, flags, choices }) => `    ${name}) words="${flags.map(({ long }) => long).join(" ")}" choices="${choices.join(" ")}";;`).join("\n")}
  esac
  case $cur in
    -*) COMPREPLY=($(compgen -W "$words" -- "$cur"));;
    *) if [ -n "$choices" ]; then COMPREPLY=($(compgen -W "$choices" -- "$cur")); else COMPREPLY=($(compgen -f -- "$cur")); fi;;
  esac
}
complete -o filenames -F _anax anax
`,
  zsh: (commands) => `#compdef anax
_anax() {
  local -a commands=(${commands.map(({ name, summary }) => quoted(`${name}:${summary}`)).join(" ")})
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  case $words[2] in
${commands.map(({ name, flags, choices }) => `    ${name}) _arguments ${flags.map(({ long, description }) => quoted(`${long}[${description.replaceAll(/[[\]:]/g, " ")}]`)).join(" ")} ${choices.length > 0 ? `'*:choice:(${choices.join(" ")})'` : "'*:file:_files'"};;`).join("\n")}
  esac
}
compdef _anax anax
`,
  fish: (commands) =>
    [
      "complete -c anax -f -n __fish_use_subcommand",
      ...commands.map(({ name, summary }) => `complete -c anax -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`),
      ...commands
        .filter(({ choices }) => choices.length > 0)
        .map(({ name, choices }) => `complete -c anax -f -n '__fish_seen_subcommand_from ${name}' -a '${choices.join(" ")}'`),
      ...commands.flatMap(({ name, flags }) =>
        flags.map(
          ({ long, description }) =>
            `complete -c anax -n '__fish_seen_subcommand_from ${name}' -l ${long.slice(2)} -d ${quoted(description)}`,
        ),
      ),
    ].join("\n"),
};

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
