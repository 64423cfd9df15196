import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface TreeSize {
  readonly directories: number;
  /** C files in each, and as many headers. */
  readonly files: number;
}

/** Makes a source tree as kernels have them: a library in each directory, made by a make of its own, dependencies found by the compiler, scripts and links in between. */
export function makeSourceTree(dir: string, { directories, files }: TreeSize): void {
  const names = Array.from({ length: directories }, (_, index) => `drivers/part${index}`);
  mkdirSync(join(dir, "include/generated"), { recursive: true });
  mkdirSync(join(dir, "scripts"));
  writeFileSync(join(dir, "include/common.h"), "#define STEP 3\n");
  symlinkSync("../common.h", join(dir, "include/generated/config.h"));
  writeFileSync(join(dir, "scripts/size.sh"), "#!/bin/sh\nset -e\ncat \"$@\" | wc -c | tr -d ' ' > size.tmp\nmv size.tmp size.txt\n");
  chmodSync(join(dir, "scripts/size.sh"), 0o755);
  for (const [index, name] of names.entries()) {
    mkdirSync(join(dir, name), { recursive: true });
    const functions = Array.from({ length: files }, (_, file) => `part${index}_${file}`);
    for (const [file, each] of functions.entries()) {
      writeFileSync(join(dir, name, `${each}.h`), `int ${each}(int);\n`);
      const text = `#include "generated/config.h"\n#include "${each}.h"\nint ${each}(int x) { return x + STEP * ${file}; }\n`;
      writeFileSync(join(dir, name, `${each}.c`), text);
    }
    writeFileSync(join(dir, name, "Makefile"), partMakefile(functions));
  }
  const all = names.flatMap((_name, index) => Array.from({ length: files }, (_, file) => `part${index}_${file}`));
  const calls = all.map((each) => `int ${each}(int);\n`).join("");
  writeFileSync(
    join(dir, "main.c"),
    `#include <stdio.h>\n${calls}int main(void) { int x = 0;\n${all.map((each) => `x = ${each}(x);\n`).join("")}return printf("%d\\n", x) < 0; }\n`,
  );
  writeFileSync(join(dir, "Makefile"), topMakefile(names));
}

const partMakefile = (functions: readonly string[]): string => `OBJECTS = ${functions.map((each) => `${each}.o`).join(" ")}
built-in.a: $(OBJECTS)
\trm -f $@
\tar rcsD $@ $(OBJECTS)
%.o: %.c
\t$(CC) -O1 -MMD -I../../include -c $< -o $@
\t@echo $< >> ../../compiled
-include *.d
`;

const topMakefile = (names: readonly string[]): string => `PARTS = ${names.map((name) => `${name}/built-in.a`).join(" ")}
all: program size.txt
program: main.c $(PARTS)
\t$(CC) -O0 main.c $(PARTS) -o $@
size.txt: $(PARTS)
\t./scripts/size.sh $(PARTS)
$(PARTS): FORCE
\t@$(MAKE) --no-print-directory -C $(dir $@)
FORCE:
`;
