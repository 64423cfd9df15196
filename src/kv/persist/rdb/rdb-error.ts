/** Bytes that are no RDB, or none that can be trusted. */
export class RdbError extends Error {
  constructor(problem: string) {
    super(problem);
    this.name = "RdbError";
  }
}

/** The bytes end before what they tell of does: more of them may come. */
export class RdbEnds extends RdbError {
  constructor() {
    super("unexpected end of data");
  }
}
