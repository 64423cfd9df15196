import type { RateLimits } from "./types.ts";

/** For data planes without a daemon around them: everything goes at once and nobody counts. */
export const NO_LIMITS: RateLimits = {
  tryUpload: () => true,
  upload: async () => undefined,
  tryDownload: () => true,
  download: async () => undefined,
  source: async () => undefined,
  uploadTurnBytes: Infinity,
  downloadTurnBytes: Infinity,
  sourceTurnBytes: Infinity,
  uploadClass: "normal",
  capacity: () => ({ upload: 0, download: 0 }),
};
