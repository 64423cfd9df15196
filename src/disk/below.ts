import { sep } from "node:path";

/** Whether a resolved path is a directory or lies in it, at any depth. */
export const isBelow = (path: string, directory: string): boolean =>
  path === directory || path.startsWith(directory.endsWith(sep) ? directory : directory + sep);
