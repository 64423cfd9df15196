/** What a table has under a name that a stranger gave: not what every object has, such as `constructor`. */
export const ownOf = <V>(table: Readonly<Record<string, V>>, name: string): V | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined;
