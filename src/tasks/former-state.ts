import type { LogMessage, LogProducer } from '../log/contract.js';
import type { SyncPlan } from '../plan/plan.js';
import type { TaskContext } from './task.js';

/**
 * A state that begins anew gives its links new ids. What a former one told of its own, agreed records and holds, is
 * withdrawn first, or subscribers would see everything twice.
 */
export async function withdrawFormer(
  { log, topics }: Pick<TaskContext, 'log' | 'topics'>,
  plan: SyncPlan,
  producer: LogProducer,
): Promise<void> {
  for (const { name } of plan.entities) {
    for (const topic of [topics.canonical(name), topics.hold(name)]) {
      const { earliest, end } = await log.bounds(topic);
      if (end === 0) continue;
      await log.readToEnd(topic, earliest, async (records) => {
        const told = new Map<string, LogMessage>();
        for (const { key, value } of records) {
          if (key !== null && value !== null) told.set(key.toString('latin1'), { key, value: null });
        }
        if (told.size > 0) await producer.commit({ sends: [{ topic, messages: [...told.values()] }], task: 'stream' });
      });
    }
  }
}
