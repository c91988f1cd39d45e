import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { forgetProcess, guardProcess } from '../../deploy/dev/guardian.js';
import { eventually } from '../support/eventually.js';
import { builtSources } from '../support/shared.js';

/** A process of its own that commits or holds a lease (kafka-child.mjs). */
export class KafkaChild {
  #lines: string[] = [];
  readonly exited: Promise<void>;

  private constructor(private readonly child: ChildProcess) {
    const { pid = 0 } = child;
    guardProcess(pid, 'SIGKILL');
    this.exited = new Promise((resolve) => {
      child.once('close', () => {
        forgetProcess(pid);
        resolve();
      });
    });
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#lines = [...this.#lines, ...text.split('\n').filter((line) => line !== '')];
    });
  }

  static async start(command: 'commit' | 'lease', args: readonly string[], failPoints = ''): Promise<KafkaChild> {
    const script = join(import.meta.dirname, 'kafka-child.mjs');
    const child = spawn(process.execPath, [script, command, await builtSources(), ...args], {
      env: { ...process.env, DUOLOG_FAIL_POINTS: failPoints },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    return new KafkaChild(child);
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  async says(line: string): Promise<void> {
    await eventually(() => this.#lines.includes(line), { what: `the child to say "${line}"`, intervalMs: 20 });
  }

  /** Waits until it has stopped itself. */
  async frozen(): Promise<void> {
    const { readFile } = await import('node:fs/promises');
    await eventually(async () => /\) T /.test(await readFile(`/proc/${this.child.pid}/stat`, 'utf8')), {
      what: 'the child to freeze',
      intervalMs: 20,
    });
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  tell(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }
}
