import { Writable } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { printFindings } from '../../src/cli/findings.js';
import { createOutput, inOneLine, type Output } from '../../src/cli/output.js';
import { createProgram } from '../../src/cli/program.js';
import { readiness } from '../../src/cli/readiness.js';
import { stopSignals } from '../../src/cli/signals.js';
import { DuologError } from '../../src/errors/duolog-error.js';
import type { TaskPhase, TaskStatus } from '../../src/tasks/task-loop.js';

function captured(json: boolean): { readonly output: Output; out(): string; error(): string } {
  const texts = { out: '', error: '' };
  const into = (name: keyof typeof texts) =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        texts[name] += chunk.toString();
        done();
      },
    });
  const output = createOutput(json, { out: into('out'), error: into('error') });
  return { output, out: () => texts.out, error: () => texts.error };
}

describe('what a command prints', () => {
  it('is lines for people or one JSON object, never both', () => {
    const text = captured(false);
    text.output.line('a line');
    text.output.result({ a: 1n });
    expect(text.out()).toBe('a line\n');
    const json = captured(true);
    json.output.line('a line');
    json.output.result({ a: 1n });
    expect(JSON.parse(json.out())).toEqual({ a: '1' });
  });

  it('names an error with code, causes and what to do, without a secret', () => {
    const cause = new Error('connect postgres://me:hunter2@crm failed');
    const error = new DuologError('SOURCE_UNREACHABLE', 'crm does not answer.', { cause, hint: 'Start it.' });
    const text = captured(false);
    text.output.error(error);
    expect(text.error()).toBe(
      'SOURCE_UNREACHABLE crm does not answer.\n  because: connect postgres://me:***@crm failed\n  What to do: Start it.\n',
    );
    const json = captured(true);
    json.output.error(error);
    expect(JSON.parse(json.out())).toMatchObject({ error: { code: 'SOURCE_UNREACHABLE', hint: 'Start it.' } });
    expect(json.error()).toBe('');
  });

  it('keeps what an error says apart from what to do', () => {
    expect(inOneLine({ message: 'connect ECONNREFUSED', hint: 'Start it.' })).toBe('connect ECONNREFUSED. Start it.');
    expect(inOneLine({ message: 'It is gone.', hint: 'Start it.' })).toBe('It is gone. Start it.');
  });

  it('shows findings by place, each with the statement that mends it', () => {
    const { output, out } = captured(false);
    const finding = {
      check: 'wal-level',
      message: 'it is replica',
      statement: "ALTER SYSTEM SET wal_level = 'logical'",
    };
    printFindings(
      [
        { place: 'crm', severity: 'error', ...finding },
        { place: 'kafka', severity: 'ok', check: 'connection', message: 'it answers', statement: null },
      ],
      output,
    );
    expect(out()).toBe(
      "crm\n  ✗ wal-level: it is replica\n      ALTER SYSTEM SET wal_level = 'logical'\nkafka\n  ✓ connection: it answers\n",
    );
  });
});

describe('a command line', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  const ran = async (...words: readonly string[]): Promise<boolean> => {
    let hasRun = false;
    const program = createProgram(() => async () => void (hasRun = true));
    await program.parseAsync([...words], { from: 'user' });
    return hasRun;
  };

  it('has --list only together with --observe', async () => {
    const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    await expect(ran('run', '--list', '5')).rejects.toThrow(/'--list <count>' is for '--observe' only/);
    expect(written).toHaveBeenCalledOnce();
    expect(await ran('run', '--list', '5', '--observe')).toBe(true);
    expect(await ran('run')).toBe(true);
  });
});

describe('readiness', () => {
  const task = (phase: TaskPhase, error: DuologError | null = null): TaskStatus => ({
    name: phase,
    phase,
    error,
    restarts: 0,
  });

  it('needs every task to run', () => {
    expect(readiness([task('running')], 0, 10_000)).toEqual({ ready: true, waitingFor: [] });
    expect(readiness([task('running'), task('opening')], 60_000, 10_000)).toEqual({
      ready: false,
      waitingFor: ['opening: opening'],
    });
  });

  it('says what a task was stopped by', () => {
    const stopped = task('pausing', new DuologError('STATE_DISK_FULL', 'x'));
    expect(readiness([stopped], 0, 10_000).waitingFor).toEqual(['pausing: pausing (STATE_DISK_FULL)']);
  });

  it('takes a task without its lease for a standby only once a lease would have fallen to it', () => {
    expect(readiness([task('waiting')], 5_000, 10_000).ready).toBe(false);
    expect(readiness([task('waiting')], 25_000, 10_000).ready).toBe(true);
    expect(readiness([task('waiting', new DuologError('INTERNAL', 'x'))], 25_000, 10_000).ready).toBe(false);
  });
});

describe('signals', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('ask to stop at the first and cut short at the second', () => {
    const cutShort = vi.fn<() => void>();
    const signals = stopSignals(10_000, cutShort);
    process.emit('SIGTERM');
    expect(signals.signal.aborted).toBe(true);
    expect(cutShort).not.toHaveBeenCalled();
    process.emit('SIGINT');
    expect(cutShort).toHaveBeenCalledOnce();
    signals.close();
  });

  it('cut short when the grace is over, unless the end came first', () => {
    vi.useFakeTimers();
    const cutShort = vi.fn<() => void>();
    const late = stopSignals(10_000, cutShort);
    process.emit('SIGTERM');
    vi.advanceTimersByTime(10_000);
    expect(cutShort).toHaveBeenCalledOnce();
    late.close();
    const inTime = stopSignals(10_000, cutShort);
    process.emit('SIGTERM');
    inTime.close();
    vi.advanceTimersByTime(20_000);
    expect(cutShort).toHaveBeenCalledOnce();
    expect(process.listenerCount('SIGTERM')).toBe(0);
  });
});
