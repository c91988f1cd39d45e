import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { forgetProcess, guardProcess } from '../../../deploy/dev/guardian.js';
import { ensureJars, javaCommand } from '../../../deploy/dev/jars.js';
import { packageRoot } from '../../../deploy/dev/paths.js';

/** A committed record as it stands in its topic. */
export interface WitnessedRecord {
  readonly topic: string;
  readonly offset: number;
  /** When the producer made it. */
  readonly timeMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

/** Kafka's own consumer in a process of its own; needs a JDK, because it is compiled as it starts. */
export class Witness {
  readonly #child: ChildProcess;
  readonly #syncs = new Map<string, () => void>();
  #syncCount = 0;
  #onRecord: (record: WitnessedRecord) => void = () => undefined;
  #onTrimmed: (topic: string) => void = () => undefined;

  private constructor(child: ChildProcess) {
    this.#child = child;
    createInterface({ input: child.stdout! }).on('line', (line) => this.#hear(line));
  }

  static async start(brokers: readonly string[]): Promise<Witness> {
    const { kafka } = await ensureJars();
    const source = join(packageRoot(), 'test/kill/witness/Witness.java');
    const options = ['-Xmx256m', '-XX:+UseSerialGC', '-cp', join(kafka, '*')];
    const child = spawn(javaCommand(), [...options, source, brokers.join(',')], {
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
    });
    if (child.pid === undefined) throw new Error('The witness does not start: is there a JDK?');
    guardProcess(child.pid, 'SIGKILL');
    child.stdin!.on('error', () => undefined);
    return new Witness(child);
  }

  /**
   * Reads these topics from now on, instead of others; of those under `counted` it tells no key and value.
   * `onTrimmed` is told of a topic whose records were deleted behind Duolog's own reading before they were read here.
   */
  follow(
    topics: readonly string[],
    counted: readonly string[],
    onRecord: (record: WitnessedRecord) => void,
    onTrimmed: (topic: string) => void,
  ): void {
    this.#onRecord = onRecord;
    this.#onTrimmed = onTrimmed;
    this.#tell(`assign ${[...topics, ...counted.map((topic) => `#${topic}`)].join(' ')}`);
  }

  /** Resolves when all that was committed at the call has been told. */
  sync(): Promise<void> {
    const name = String(++this.#syncCount);
    return new Promise((resolve, reject) => {
      this.#syncs.set(name, resolve);
      if (this.#child.exitCode !== null) reject(new Error('The witness has ended: is there a JDK?'));
      this.#tell(`sync ${name}`);
    });
  }

  async stop(): Promise<void> {
    const { pid } = this.#child;
    const ended = new Promise<void>((resolve) => this.#child.once('close', () => resolve()));
    this.#child.kill('SIGKILL');
    await ended;
    if (pid !== undefined) forgetProcess(pid);
  }

  #tell(line: string): void {
    this.#child.stdin!.write(`${line}\n`);
  }

  #hear(line: string): void {
    const [kind, first = '', offset = '', time = '', key = '-', value = '-'] = line.split('\t');
    if (kind === 's') {
      this.#syncs.get(first)?.();
      this.#syncs.delete(first);
      return;
    }
    if (kind === 'g') return this.#onTrimmed(first);
    this.#onRecord({
      topic: first,
      offset: Number(offset),
      timeMs: Number(time),
      key: bytesOf(key),
      value: bytesOf(value),
    });
  }
}

function bytesOf(text: string): Buffer | null {
  return text === '-' ? null : Buffer.from(text, 'base64');
}
