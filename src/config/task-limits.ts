import type { TaskLimits } from '../tasks/task.js';
import type { Configuration } from './schema.js';

/** The bounds that the configuration gives to every task. */
export function taskLimits({ limits, kafka, retention }: Configuration): TaskLimits {
  return { ...limits, messageBytes: kafka.maxMessageBytes, changeRetentionMs: retention.changesMs };
}
