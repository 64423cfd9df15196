// Serves one stored file over Vortex until it is told to stop. Arguments: store directory, file, piece bytes, sendfile (true or false).
import { link, mkdir } from "node:fs/promises";
import { realClock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { createRegistry } from "../../src/base/metrics.ts";
import { TransferConfig } from "../../src/p2p/daemon/transfer/config.ts";
import { transferMetricsOf } from "../../src/p2p/daemon/transfer/metrics.ts";
import { startPieceServer } from "../../src/p2p/daemon/transfer/piece-server.ts";
import { contentTaskIdOf } from "../../src/p2p/model/ids.ts";
import { pieceCountOf } from "../../src/p2p/model/piece.ts";
import { PiecesConfig } from "../../src/p2p/pieces/config.ts";
import { openPieceStore } from "../../src/p2p/pieces/store.ts";
import { stat } from "node:fs/promises";

const [directory = "", file = "", pieceBytes = "", sendfile = ""] = process.argv.slice(2);
const common = { clock: realClock, log: silentLog };
await mkdir(directory, { recursive: true });
await using store = await openPieceStore({
  ...common,
  dir: directory,
  config: PiecesConfig.parse({ diskHighPercent: 100, diskLowPercent: 100 }),
});
const layout = { contentLength: (await stat(file)).size, pieceLength: Number(pieceBytes) };
const id = contentTaskIdOf("bench");
const path = store.spoolPath();
await link(file, path); // the store takes the name, the bytes stay those that the others serve
await store.adopt({ id, url: "bench:", filteredQueryParams: [], responseHeader: {}, ...layout, pieceCount: pieceCountOf(layout) }, path);
const config = TransferConfig.parse({ sendfile: sendfile === "true" });
const metrics = transferMetricsOf(createRegistry({ runtime: false }));
await using server = await startPieceServer({ ...common, host: "127.0.0.1", port: 0, store, config, metrics });
const stopped = new Promise((resolve) => process.once("SIGTERM", resolve));
console.log(JSON.stringify({ port: server.port, taskId: id }));
await stopped;
