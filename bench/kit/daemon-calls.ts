import { realClock } from "../../src/base/clock.ts";
import { downloadOf } from "../../src/cli/get/request.ts";
import { openChannel, type GrpcChannel } from "../../src/wire/grpc/client.ts";
import { DfdaemonDownloadService } from "../../src/wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import type { AnaxProcess } from "../../test/kit/anax.ts";

const TIMEOUT_MS = 600_000;
const never = new AbortController().signal;

/** A channel to a daemon's Unix socket. */
export const channelTo = (daemon: AnaxProcess): GrpcChannel =>
  openChannel({ path: daemon.listeners["socket"]!.replace(/^unix:/, "") }, { clock: realClock }); // a daemon prints its socket

/** Has a daemon download a URL and keep it; `onStarted` is called once it knows what it is. Returns the task's id. */
export async function download(
  channel: GrpcChannel,
  what: { readonly url: string; readonly digest?: string | undefined },
  onStarted?: () => void,
): Promise<string> {
  const options = { ...DEFAULTS, ...(what.digest === undefined ? {} : { digest: what.digest }) };
  const request = { download: downloadOf(what.url, options, "keep", undefined) };
  let taskId = "";
  for await (const message of channel.serverStream(DfdaemonDownloadService.downloadTask, request, {
    signal: never,
    timeoutMs: TIMEOUT_MS,
  })) {
    if (taskId === "") onStarted?.();
    taskId = message.taskId;
  }
  return taskId;
}

export async function remove(channel: GrpcChannel, taskId: string): Promise<void> {
  await channel.unary(DfdaemonDownloadService.deleteLocalTask, { taskId }, { timeoutMs: TIMEOUT_MS });
}

const DEFAULTS = {
  output: "",
  header: [],
  filteredQueryParam: [],
  timeout: TIMEOUT_MS,
  reconnectTimeout: 0,
  priority: 6,
  includeFiles: [],
  maxFiles: 0,
  maxConcurrentRequests: 0,
  progress: false,
};

/** A counter that a daemon shows on its status address; 0 while it has not counted. `labels` as Prometheus writes them. */
export async function counterOf(daemon: AnaxProcess, name: string, labels: string): Promise<number> {
  const page = await (await fetch(`${daemon.listeners["status"]}/metrics`)).text();
  return Number(
    page
      .split("\n")
      .find((line) => line.startsWith(`${name}{${labels}}`))
      ?.split(" ")[1] ?? 0,
  );
}
