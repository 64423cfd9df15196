import { isPending, type Answer } from "../meta/verbs.ts";

/** Goes on with an answer: at once where it is there. */
export const andThen = <T, U>(answer: Answer<T>, next: (value: T) => Answer<U>): Answer<U> =>
  isPending(answer) ? later(answer, next) : next(answer);

const later = async <T, U>(answer: Promise<T>, next: (value: T) => Answer<U>): Promise<U> => next(await answer);
