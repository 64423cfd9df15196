import { AnaxError } from "../base/errors.ts";

/** The server that starts; when it cannot listen, the error names the setting that a person would change. */
export async function listening<T>(setting: string, start: Promise<T>): Promise<T> {
  try {
    return await start;
  } catch (thrown) {
    if (!(thrown instanceof AnaxError) || !thrown.code.startsWith("listen.")) throw thrown;
    const { host, ip, port, address = `${String(host ?? ip)}:${String(port)}`, reason } = thrown.details;
    const why = thrown.code === "listen.address-in-use" ? {} : { reason };
    throw new AnaxError(thrown.code, { address, setting, ...why }, { cause: thrown });
  }
}
