import type { Readable, Writable } from "node:stream";
import { z } from "zod";
import { AnaxError } from "../../base/errors.ts";
import { VolumeDataShape } from "../data/volume-data.ts";
import type { TrashEntry } from "../meta/trash.ts";
import type { VolumeRecord } from "../lifecycle/volume-record.ts";
import type { VolumeUpdate, Volumes } from "../lifecycle/volumes.ts";

/** How far a long call is. */
export type OnProgress = (done: { readonly blobs: number; readonly bytes: number }) => void;

/** The most entries of a trash that one call lists. */
const TRASH_ENTRIES_MAX = 100_000;

const text = z.string().min(1).max(4096);
/** A name or uuid. */
const volume = z.string().min(1).max(100);
const count = z.int().nonnegative();
const onDelete = z.enum(["detach-now", "at-purge"]);
const attributes = {
  owner: text,
  capacityBytes: count,
  inodesMax: count,
  readOnly: z.boolean(),
  onDelete,
  undeleteMs: count,
  trashMs: count,
};
const NewVolume = z.strictObject({
  ...attributes,
  name: text,
  trashMs: count.optional(),
  uid: count,
  gid: count,
  permissions: z.int().min(0).max(0o7777),
  data: VolumeDataShape.optional(),
  meta: text.optional(),
});
const Update = z.strictObject({ ...attributes, name: text, peers: z.boolean() }).partial();

/** A method: what it takes, of whoever asks, and what it does. */
const method = <A extends z.ZodTuple, R>(
  args: A,
  run: (volumes: Volumes, args: z.output<A>, onProgress: OnProgress) => R | Promise<R>,
) => ({
  args,
  run: async (volumes: Volumes, given: z.output<A>, onProgress: OnProgress): Promise<R> => run(volumes, given, onProgress),
});

/** What can be done to volumes, from here or from elsewhere; as the methods of `Volumes` of that name. */
export const METHODS = {
  create: method(z.tuple([NewVolume]), (volumes, [{ data, meta, trashMs, ...options }]) =>
    volumes.create({ ...options, ...(data && { data }), ...(meta !== undefined && { meta }), ...(trashMs !== undefined && { trashMs }) }),
  ),
  attach: method(z.tuple([volume, z.strictObject({ meta: text, name: text.optional() })]), (volumes, [uuid, { meta, name }]) =>
    volumes.attach(uuid, { meta, name }),
  ),
  list: method(z.tuple([]), (volumes) => volumes.list()),
  get: method(z.tuple([volume]), (volumes, [name]) => volumes.get(name)),
  place: method(z.tuple([volume]), (volumes, [name]) => volumes.place(name)),
  /** All that is known of it. */
  info: method(z.tuple([volume]), async (volumes, [name]) => {
    const record = await volumes.refresh(name);
    const [clients, usage] = [await volumes.sessions(record), await volumes.usage(record)];
    return { volume: record, clients, usage, keys: volumes.keys(name), meta: volumes.metaAddress(record) };
  }),
  update: method(z.tuple([volume, Update]), (volumes, [name, changes]) => volumes.update(name, changes as VolumeUpdate)), // nothing absent is there as undefined: it came as JSON, or was left out
  keys: method(z.tuple([volume]), (volumes, [name]) => volumes.keys(name)),
  addKey: method(z.tuple([volume]), (volumes, [name]) => volumes.addKey(name)),
  removeKey: method(z.tuple([volume, text]), (volumes, [name, id]) => volumes.removeKey(name, id)),
  quotas: method(z.tuple([volume]), (volumes, [name]) => volumes.quotas(name)),
  setQuota: method(z.tuple([volume, text, z.strictObject({ bytesMax: count, inodesMax: count })]), (volumes, [name, path, limits]) =>
    volumes.setQuota(name, path, limits),
  ),
  clone: method(z.tuple([volume, z.strictObject({ name: text, owner: text, readOnly: z.boolean() })]), (volumes, [name, options]) =>
    volumes.clone(name, options),
  ),
  /** With how many clients were told. */
  delete: method(z.tuple([volume, z.strictObject({ now: z.boolean(), by: text })]), async (volumes, [name, options]) => {
    const clients = (await volumes.sessions(volumes.get(name))).length;
    return { volume: await volumes.delete(name, options), clients };
  }),
  undelete: method(z.tuple([volume]), (volumes, [name]) => volumes.undelete(name)),
  due: method(z.tuple([]), (volumes) => volumes.due()),
  purge: method(z.tuple([volume, z.strictObject({ force: z.boolean() })]), (volumes, [name, options]) => volumes.purge(name, options)),
  gc: method(
    z.tuple([volume, z.strictObject({ graceMs: count, scan: z.boolean(), quarantine: z.boolean() })]),
    (volumes, [name, options], onProgress) => volumes.gc(name, { ...options, onProgress }),
  ),
  fsck: method(z.tuple([volume, z.strictObject({ data: z.boolean(), repair: z.boolean() })]), (volumes, [name, options], onProgress) =>
    volumes.fsck(name, { ...options, onProgress }),
  ),
  stats: method(z.tuple([volume]), (volumes, [name]) => volumes.stats(name)),
  /** Of the machine that answers. */
  reads: method(z.tuple([volume]), (volumes, [name]) => volumes.reads(name)),
  trashList: method(z.tuple([volume, text]), async (volumes, [name, path]) => {
    const entries: TrashEntry[] = [];
    for await (const entry of volumes.trash(name).list(path)) if (entries.push(entry) === TRASH_ENTRIES_MAX) break;
    return entries;
  }),
  trashRestore: method(
    z.tuple([volume, text, z.strictObject({ to: text.optional(), ino: count.optional() })]),
    (volumes, [name, path, { to, ino }]) =>
      volumes.trash(name).restore(path, { ...(to !== undefined && { to }), ...(ino !== undefined && { ino }) }),
  ),
  trashEmpty: method(z.tuple([volume, text]), (volumes, [name, path]) => volumes.trash(name).empty(path)),
} as const;

export type MethodName = keyof typeof METHODS;
type Method<K extends MethodName> = (typeof METHODS)[K];
export type ArgsOf<K extends MethodName> = z.input<Method<K>["args"]>;
export type ResultOf<K extends MethodName> = Awaited<ReturnType<Method<K>["run"]>>;

/** Volumes of this data directory, or of a service elsewhere. Throws as `Volumes`; elsewhere also `volume.service-*`. */
export interface VolumeService {
  call<K extends MethodName>(name: K, args: ArgsOf<K>, onProgress?: OnProgress): Promise<ResultOf<K>>;
  /** Ends the stream with the dump, as fast as that takes it; where this throws, what it got is no dump. */
  dump(nameOrUuid: string, out: Writable): Promise<VolumeRecord>;
  /** Of a dump that comes in. */
  load(from: Readable, options?: LoadOptions): ReturnType<Volumes["load"]>;
}

export const isMethod = (name: string): name is MethodName => Object.hasOwn(METHODS, name);

/** Without a service in between. */
export const localVolumes = (volumes: Volumes): VolumeService => ({
  call: (name, args, onProgress = () => undefined) => runMethod(volumes, name, args, onProgress),
  dump: (nameOrUuid, out) => volumes.dumpTo(nameOrUuid, out),
  load: (from, { name, meta } = {}) => volumes.loadFrom(from, name, meta),
});

/** What the methods take that are about more than volumes: streams, and the machine of the service. */
export const SERVED = {
  /** A dump, to the caller. */
  dump: z.tuple([volume]),
  /** A dump, from the caller. */
  load: z.tuple([z.strictObject({ name: text.optional(), meta: text.optional() })]),
  /** As `warmup`, on the machine of the service, as long as the caller stays. Where its files are is for nobody elsewhere to say. */
  warm: z.tuple([volume, z.strictObject({ path: text, peerWaitMs: count })]),
} as const;
export type LoadOptions = z.input<typeof SERVED.load>[0];
export type WarmThere = z.input<typeof SERVED.warm>[1];

interface Runnable<R> {
  readonly args: z.ZodType<never>;
  readonly run: (volumes: Volumes, args: never, onProgress: OnProgress) => Promise<R>;
}

/** Throws `input.invalid` for arguments that are none. */
export async function runMethod<K extends MethodName>(
  volumes: Volumes,
  name: K,
  given: unknown,
  onProgress: OnProgress,
): Promise<ResultOf<K>> {
  const { args, run } = METHODS[name] as unknown as Runnable<ResultOf<K>>; // of one entry of the table: its types belong together
  return run(volumes, argumentsAs(name, args, given), onProgress);
}

/** Throws `input.invalid` for arguments that are none. */
export function argumentsAs<T>(name: string, args: z.ZodType<T>, given: unknown): T {
  const parsed = args.safeParse(given);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new AnaxError("input.invalid", { method: name, field: issue?.path.join("."), reason: issue?.message });
}
