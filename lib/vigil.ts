import { availableParallelism } from 'node:os';
// Not the globals, which fake timers of somebody's tests replace.
import { setImmediate } from 'node:timers';

/** Nanoseconds. What takes longer is not noticeably faster when it is waited for awake. */
const SHORT_WORK = 100_000;
/** Of the event loop, about a microsecond each when there is nothing else to do. */
const MOST_TURNS = 200;

/**
 * Keeps the event loop turning, instead of asleep in the kernel, for an answer that is
 * microseconds away: waking a sleeping thread takes 15 to 50 us, several times what a small score
 * takes. Bounded by MOST_TURNS for each score, and given up where workers need all the cores.
 */
export class Vigil {
  /** Threads that the scores in flight may use. */
  #threads = 0;
  #left = 0;
  #turning = false;

  constructor(
    private readonly cores: number,
    private readonly schedule: (turn: () => void) => void,
  ) {}

  /** A score on `threads` threads was submitted; `work`: nanoseconds that one like it took. */
  begin(threads: number, work: number): void {
    this.#threads += threads;
    if (work > SHORT_WORK || this.#threads >= this.cores) return;
    this.#left = MOST_TURNS;
    if (this.#turning) return;
    this.#turning = true;
    this.schedule(this.#turn);
  }

  end(threads: number): void {
    this.#threads -= threads;
  }

  readonly #turn = (): void => {
    this.#turning = this.#threads > 0 && this.#threads < this.cores && this.#left-- > 0;
    if (this.#turning) this.schedule(this.#turn);
  };
}

/** Of this JavaScript thread. */
export const vigil = new Vigil(availableParallelism(), setImmediate);
