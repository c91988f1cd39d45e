import { DuologError } from './errors/duolog-error.js';

/**
 * Named places where a test can kill, freeze or break the process: before, inside and after each step of the commits.
 *
 * `DUOLOG_FAIL_POINTS=stream.commit.after-send=kill@3,sink.commit.before-commit=stop` kills the process at the third
 * passing of the first point and freezes it at the first passing of the second.
 *
 * | action      | effect                                                           |
 * |-------------|------------------------------------------------------------------|
 * | `kill`      | SIGKILL to itself: nothing is cleaned up                         |
 * | `stop`      | SIGSTOP to itself: frozen until somebody sends SIGCONT           |
 * | `throw`     | throws an error at the place                                     |
 * | `delay:250` | blocks the whole process for so many milliseconds, as a pause of the garbage collector would |
 *
 * `@n` is the passing at which it happens (first by default), `@n+` that one and each later.
 */

const KAFKA_STEPS = ['before-begin', 'after-begin', 'after-send', 'after-offsets', 'before-end', 'after-end'] as const;
const TASKS = ['source', 'stream'] as const;

/** Inside a Kafka transaction of a task. */
export type KafkaFailPoint = `${(typeof TASKS)[number]}.commit.${(typeof KAFKA_STEPS)[number]}`;

const OTHER_POINTS = [
  /** The fence is set, nothing read yet. */
  'source.open.after-fence',
  /** The system is open, nothing read from it yet. */
  'source.open.after-system',
  'source.acknowledge.before',
  'source.acknowledge.after',
  /** A chunk of a snapshot was read, its rows not yet handed on. */
  'source.snapshot.after-chunk',
  'stream.open.after-fence',
  'stream.open.after-restore',
  /** Decided, nothing sent yet. */
  'stream.decide.after',
  'stream.flush.before',
  'stream.flush.inside',
  'stream.flush.after',
  'sink.open.after-epoch',
  /** Inside the target's transaction, in this order. */
  'sink.commit.after-epoch',
  'sink.commit.after-first-mark',
  'sink.commit.after-write',
  'sink.commit.after-last-mark',
  'sink.commit.before-commit',
  'sink.commit.after-commit',
  /** Committed in the target, the outcomes that no stream tells not yet on Kafka; and acknowledged by it. */
  'sink.publish.before',
  'sink.publish.after',
  'sink.trim.before',
] as const;

export type FailPoint = KafkaFailPoint | (typeof OTHER_POINTS)[number];

/** All points there are, so that a test can go through every one. */
export const FAIL_POINTS: readonly FailPoint[] = [
  ...TASKS.flatMap((task) => KAFKA_STEPS.map((step): KafkaFailPoint => `${task}.commit.${step}`)),
  ...OTHER_POINTS,
];

type Action = { readonly kind: 'kill' | 'stop' | 'throw' } | { readonly kind: 'delay'; readonly milliseconds: number };

interface Armed {
  readonly action: Action;
  readonly at: number;
  readonly repeated: boolean;
  passed: number;
}

/** Passing a point costs one look at a variable when nothing is armed. */
let armed: ReadonlyMap<string, Armed> | null = null;

/** Arms the points named in the text (see above); an empty text disarms all. @throws Error for an unknown point or action. */
export function armFailPoints(text: string): void {
  const points = new Map<string, Armed>();
  for (const part of text.split(',').map((each) => each.trim())) {
    if (part === '') continue;
    const match = /^([a-z.-]+)=(kill|stop|throw|delay:(\d+))(?:@(\d+)(\+)?)?$/.exec(part);
    if (match === null) throw new Error(`DUOLOG_FAIL_POINTS: cannot read "${part}"; expected point=action@count`);
    const [, name = '', action = '', delay, at, repeated] = match;
    if (!FAIL_POINTS.some((point) => point === name)) throw new Error(`DUOLOG_FAIL_POINTS: no point "${name}"`);
    points.set(name, {
      action: delay === undefined ? { kind: action as 'kill' } : { kind: 'delay', milliseconds: Number(delay) },
      at: at === undefined ? 1 : Number(at),
      repeated: repeated !== undefined,
      passed: 0,
    });
  }
  armed = points.size === 0 ? null : points;
}

armFailPoints(process.env['DUOLOG_FAIL_POINTS'] ?? '');

/** Marks a place; does nothing unless a test armed it. */
export function failPoint(name: FailPoint): void {
  if (armed !== null) reach(name, armed);
}

function reach(name: FailPoint, points: ReadonlyMap<string, Armed>): void {
  const point = points.get(name);
  if (point === undefined) return;
  point.passed++;
  if (point.passed !== point.at && !(point.repeated && point.passed > point.at)) return;
  const { action } = point;
  switch (action.kind) {
    case 'kill':
      process.kill(process.pid, 'SIGKILL');
      return block(60_000);
    case 'stop':
      process.kill(process.pid, 'SIGSTOP');
      return block(1);
    case 'throw':
      throw new DuologError('FAIL_POINT', `fail point ${name}`);
    case 'delay':
      return block(action.milliseconds);
  }
}

/** Waits without letting anything else in this process run; a signal to itself has arrived by then. */
function block(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
