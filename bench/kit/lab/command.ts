import { execFile, type ExecFileException } from "node:child_process";

const TIMEOUT_MS = 120_000; // the kernel takes its time over a namespace when the machine is crowded
const OUTPUT_BYTES_MAX = 16 * 1024 * 1024;

/** Runs a short command to its end and gives what it printed; throws with its own words when it fails. */
export function command(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${program} ${args.join(" ")}: ${stderr.trim() || reasonOf(error)}`, { cause: error }));
    });
  });
}

const reasonOf = ({ killed, code, signal, message }: ExecFileException): string =>
  killed === true ? `not done after ${TIMEOUT_MS / 1000} s` : (signal ?? (code === undefined ? message : `ended with ${code}`));

/** The same within the network of a namespace. */
export const commandIn = (namespace: string, program: string, args: readonly string[]): Promise<string> =>
  command("nsenter", [`--net=/run/netns/${namespace}`, "--", program, ...args]);
