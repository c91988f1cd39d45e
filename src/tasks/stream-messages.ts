import { Encoders, type Encoder } from '../avro/codec.js';
import { CommandEncoder } from '../avro/command-codec.js';
import { CanonicalEncoder, DecisionEncoder, HoldEncoder } from '../avro/output-codec.js';
import { heartbeatEncoder, KeyEncoder, type HeartbeatRecord } from '../avro/progress-codec.js';
import type { Output } from '../decision/outputs.js';
import type { SyncRecord } from '../decision/state.js';
import type { LogMessage, TopicMessages } from '../log/contract.js';
import type { SyncPlan } from '../plan/plan.js';
import type { QuietTopic, QuietTopics } from '../quiet/told.js';
import type { StateChange } from '../state/store.js';
import { syncHeartbeatKey } from './read-last.js';
import type { TaskContext } from './task.js';

interface Writer<T> {
  readonly topic: string;
  readonly keys: KeyEncoder;
  readonly values: T;
}

/** What the decision says, as messages of their topics. */
export class StreamMessages {
  private constructor(
    private readonly commands: ReadonlyMap<string, Writer<CommandEncoder>>,
    private readonly canonicals: ReadonlyMap<string, Writer<CanonicalEncoder>>,
    private readonly decisions: ReadonlyMap<string, Writer<DecisionEncoder>>,
    private readonly holds: ReadonlyMap<string, Writer<HoldEncoder>>,
    private readonly heartbeats: Writer<Encoder<HeartbeatRecord>>,
    private readonly stateTopic: string,
  ) {}

  /** Registers every schema that the task writes. @throws DuologError SCHEMA_INCOMPATIBLE and others of the registry. */
  static async register(context: TaskContext, plan: SyncPlan): Promise<StreamMessages> {
    const { topics } = context;
    const encoders = new Encoders(context.registry);
    const writer = async <T>(topic: string, registering: Promise<T>): Promise<Writer<T>> => {
      const [keys, values] = await Promise.all([KeyEncoder.register(encoders, topic), registering]);
      return { topic, keys, values };
    };
    const writers = <T>(names: readonly string[], of: (name: string) => [topic: string, values: Promise<T>]) =>
      Promise.all(names.map(async (name) => [name, await writer(...of(name))] as const));
    const entities = plan.entities.map(({ name }) => name);
    const [commands, canonicals, decisions, holds, heartbeats] = await Promise.all([
      writers(writtenSystems(plan), (system) => {
        const topic = topics.command(plan.name, system);
        return [topic, CommandEncoder.register(encoders, topic)];
      }),
      writers(entities, (name) => {
        const entity = plan.entities.find((each) => each.name === name)!;
        return [topics.canonical(name), CanonicalEncoder.register(encoders, topics.canonical(name), entity)];
      }),
      writers(entities, (name) => [topics.decision(name), DecisionEncoder.register(encoders, topics.decision(name))]),
      writers(entities, (name) => [topics.hold(name), HoldEncoder.register(encoders, topics.hold(name))]),
      writer(topics.heartbeat(), heartbeatEncoder(encoders, topics.heartbeat())),
    ]);
    return new StreamMessages(
      new Map(commands),
      new Map(canonicals),
      new Map(decisions),
      new Map(holds),
      heartbeats,
      topics.state(plan.name),
    );
  }

  /** Messages of one transaction, in the order of the outputs within each topic. */
  batch(): MessageBatch {
    return new MessageBatch((output, add) => this.add(output, add), this.stateTopic);
  }

  /** Where commands and canonical records go, for whoever writes them himself. */
  quietTopics(): QuietTopics {
    const topicOf = ({ topic, keys, values }: Writer<{ readonly schemaId: number }>): QuietTopic => ({
      topic,
      keyId: keys.schemaId,
      valueId: values.schemaId,
    });
    const all = (writers: ReadonlyMap<string, Writer<{ readonly schemaId: number }>>) =>
      new Map(Array.from(writers, ([name, writer]) => [name, topicOf(writer)] as const));
    return { commands: all(this.commands), canonicals: all(this.canonicals) };
  }

  /** Tells sinks and standbys which state is alive. */
  heartbeat(sync: string, { birth, commandsFrom }: SyncRecord, nowMs: number): TopicMessages {
    const { topic, keys, values } = this.heartbeats;
    const time = nowMs * 1000;
    const from = commandsFrom ?? null;
    const value = values.encode({ system: null, position: null, sync, birth, commandsFrom: from, time });
    return { topic, messages: [{ key: keys.encode(syncHeartbeatKey(sync)), value }] };
  }

  private add(output: Output, add: Add): void {
    switch (output.kind) {
      case 'command': {
        const { topic, keys, values } = this.commands.get(output.system)!;
        return add(topic, { key: keys.encode(output.command.link), value: values.encode(output.command) });
      }
      case 'canonical': {
        const { topic, keys, values } = this.canonicals.get(output.entity)!;
        return add(topic, { key: keys.encode(output.link), value: values.encode(output) });
      }
      case 'decision': {
        const { topic, keys, values } = this.decisions.get(output.entity)!;
        return add(topic, { key: keys.encode(output.link), value: values.encode(output) });
      }
      case 'hold': {
        const { topic, keys, values } = this.holds.get(output.entity)!;
        return add(topic, { key: keys.encode(`${output.link},${output.system}`), value: values.encode(output) });
      }
    }
  }
}

type Add = (topic: string, message: LogMessage) => void;

/** What one transaction says. Outputs become bytes as they come: whole batches of objects are work for the collector of garbage. */
export class MessageBatch {
  private readonly byTopic = new Map<string, LogMessage[]>();
  /** Outputs taken so far. */
  size = 0;
  /** Bytes of them. */
  bytes = 0;

  constructor(
    private readonly write: (output: Output, add: Add) => void,
    private readonly stateTopic: string,
  ) {}

  take(outputs: readonly Output[]): void {
    this.size += outputs.length;
    for (const output of outputs) this.write(output, this.add);
  }

  /** The same of what is bytes already. */
  takeWritten(outputs: readonly { readonly topic: string; readonly message: LogMessage }[]): void {
    this.size += outputs.length;
    for (const { topic, message } of outputs) this.add(topic, message);
  }

  /** With the changes of the state, which go last. */
  sends(changes: readonly StateChange[]): TopicMessages[] {
    const sends = Array.from(this.byTopic, ([topic, messages]) => ({ topic, messages }));
    const state = changes.map(({ key, bytes }) => ({ key: Buffer.from(key), value: bytes }));
    return [...sends, { topic: this.stateTopic, messages: state }];
  }

  private readonly add: Add = (topic, message) => {
    this.bytes += message.value?.length ?? 0;
    const messages = this.byTopic.get(topic);
    if (messages === undefined) this.byTopic.set(topic, [message]);
    else messages.push(message);
  };
}

/** Systems that a sync sends commands to. */
export function writtenSystems(plan: SyncPlan): readonly string[] {
  return plan.systems.filter((system) => plan.entities.some((entity) => entity.systems[system]?.written === true));
}
