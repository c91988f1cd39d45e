import { setTimeout as delay } from 'node:timers/promises';
import { temporaryFolder } from '../deploy/dev/guardian.js';
import { ChangeTopic } from './change-topic.js';
import { DuologReplicator } from './duolog.js';
import type { DuologCase } from './duolog-configuration.js';
import type { Equality } from './equality.js';
import type { Expected } from './replicator.js';
import type { Servers } from './servers.js';

/** Only the source: what is compared is what a read-committed subscriber of the change topic was told. */
export class ToKafkaReplicator extends DuologReplicator {
  private topic: ChangeTopic | null = null;

  static async open(servers: Servers, wanted: DuologCase): Promise<ToKafkaReplicator> {
    return new ToKafkaReplicator(servers, wanted, await temporaryFolder('bench'));
  }

  /** The source counts what it has committed; once that rests, the topic is read and compared. */
  override async untilArrived({ changes, timeoutMs }: Expected): Promise<Equality> {
    const deadline = Date.now() + timeoutMs;
    let counted = -1;
    let atMs = Date.now();
    for (let still = 0; still < 20 && Date.now() < deadline && this.gaveUp() === null; ) {
      const now = await this.committed();
      if (now !== counted) atMs = Date.now();
      still = now === counted && now >= changes ? still + 1 : 0;
      counted = now;
      await delay(20);
    }
    const gaveUp = this.gaveUp();
    if (gaveUp !== null) return { equal: false, atMs, problem: gaveUp };
    return { ...(await (await this.opened()).compare(this.servers)), atMs };
  }

  async beforeSteady(): Promise<void> {
    await (await this.opened()).follow();
    this.counter = await this.committed();
  }

  override async latencies(sinceMs: number): Promise<readonly number[]> {
    return (await this.opened()).latencies(sinceMs);
  }

  override async destroy(): Promise<void> {
    await this.topic?.close();
    await super.destroy();
  }

  /** What the process had committed before the changes that are waited for. */
  private counter = 0;

  private async committed(): Promise<number> {
    const [source] = this.running;
    if (source === undefined) return 0;
    const text = await fetch(`${source.url}/metrics`).then(
      (response) => response.text(),
      () => '',
    );
    const line = text.split('\n').find((each) => each.startsWith('duolog_records_total{stage="source"'));
    return line === undefined ? 0 : Number(line.split(' ').at(-1)) - this.counter;
  }

  private async opened(): Promise<ChangeTopic> {
    return (this.topic ??= await ChangeTopic.open(this.servers));
  }
}
