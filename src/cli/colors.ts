import pc from "picocolors";

/** Colours for what goes to a stream: only on a terminal, and as NO_COLOR and FORCE_COLOR say. A library alone would colour pipes, too, where CI is set. */
export const colorsOn = (stream: { readonly isTTY?: boolean }): ReturnType<typeof pc.createColors> =>
  pc.createColors((stream.isTTY === true || process.env["FORCE_COLOR"] !== undefined) && pc.isColorSupported);
