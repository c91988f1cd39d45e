import type { TopicSpec } from '../log/contract.js';
import { TopicNames } from '../log/topics.js';
import type { SyncPlan } from '../plan/plan.js';
import { writtenSystems } from './stream-messages.js';

/**
 * Every topic that these plans need. What a task has yet to read never expires: it is trimmed behind the readers;
 * decisions are for people and go with time.
 */
export function topicSpecs(plans: readonly SyncPlan[], decisionRetentionMs: number): readonly TopicSpec[] {
  const specs = new Map<string, TopicSpec>();
  const add = (name: string, cleanup: TopicSpec['cleanup'], retentionMs: number | null = null) =>
    specs.set(name, { name, cleanup, retentionMs });
  // What tells of a link tells of the rows of several systems.
  const addLarge = (name: string, cleanup: TopicSpec['cleanup'], retentionMs: number | null = null) =>
    specs.set(name, { name, cleanup, retentionMs, large: true });
  for (const plan of plans) {
    const names = new TopicNames(plan.prefix);
    add(names.heartbeat(), 'compact');
    add(requestTopic(plan.prefix).name, 'compact');
    addLarge(names.state(plan.name), 'compact');
    add(names.control(plan.name), 'delete');
    for (const system of writtenSystems(plan)) addLarge(names.command(plan.name, system), 'delete');
    for (const entity of plan.entities) {
      addLarge(names.canonical(entity.name), 'compact');
      add(names.hold(entity.name), 'compact');
      addLarge(names.decision(entity.name), 'delete', decisionRetentionMs);
      for (const { system, captured, written } of Object.values(entity.systems)) {
        if (captured) {
          add(names.change(system, entity.name), 'delete');
          add(names.position(system), 'compact');
        } else if (written) add(names.outcome(plan.name, system), 'delete');
      }
    }
  }
  return [...specs.values()];
}

/** Also made by whoever asks, for a prefix that has run under an earlier version only. */
export function requestTopic(prefix: string): TopicSpec {
  return { name: new TopicNames(prefix).request(), cleanup: 'compact', retentionMs: null };
}
