import type { KafkaConfig } from 'kafkajs';

/** As much of kafkajs's inner classes as we use; the package has no types for them. */
export interface BatchMessage {
  readonly offset: string;
  readonly timestamp: string;
  /** The same as numbers, where our own decoder made the message. */
  readonly offsetNumber?: number;
  readonly timestampMs?: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

/** What one fetch brought for one partition, without control records and aborted records. */
export interface Batch {
  readonly messages: readonly BatchMessage[];
  isEmpty(): boolean;
  /** There was something to read past, although nothing to deliver. */
  isEmptyDueToFiltering(): boolean;
  /** The last offset that this fetch covers. */
  lastOffset(): string;
}

export interface FetchedPartition {
  readonly partition: number;
  readonly highWatermark: string;
  readonly lastStableOffset: string;
}

export interface GroupMember {
  readonly memberId: string;
  readonly memberMetadata: Buffer;
}

export interface Broker {
  readonly nodeId: number;
  fetch(request: {
    readonly isolationLevel: number;
    readonly maxWaitTime: number;
    readonly minBytes: number;
    readonly maxBytes: number;
    readonly topics: readonly {
      readonly topic: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly fetchOffset: string;
        readonly maxBytes: number;
      }[];
    }[];
  }): Promise<{
    readonly responses: readonly { readonly topicName: string; readonly partitions: readonly FetchedPartition[] }[];
  }>;
  listOffsets(request: {
    readonly isolationLevel: number;
    readonly topics: readonly {
      readonly topic: string;
      readonly partitions: readonly { readonly partition: number; readonly timestamp: number }[];
    }[];
  }): Promise<{
    readonly responses: readonly {
      readonly topic: string;
      readonly partitions: readonly { readonly partition: number; readonly offset: string }[];
    }[];
  }>;
  deleteRecords(request: {
    readonly topics: readonly {
      readonly topic: string;
      readonly partitions: readonly { readonly partition: number; readonly offset: string }[];
    }[];
  }): Promise<unknown>;
  findGroupCoordinator(request: {
    readonly groupId: string;
    readonly coordinatorType: number;
  }): Promise<{ readonly coordinator: { readonly nodeId: number } }>;
  joinGroup(request: {
    readonly groupId: string;
    readonly sessionTimeout: number;
    readonly rebalanceTimeout: number;
    readonly memberId: string;
    readonly groupProtocols: readonly { readonly name: string; readonly metadata: Buffer }[];
  }): Promise<{
    readonly generationId: number;
    readonly leaderId: string;
    readonly memberId: string;
    readonly members: readonly GroupMember[];
  }>;
  syncGroup(request: {
    readonly groupId: string;
    readonly generationId: number;
    readonly memberId: string;
    readonly groupAssignment: readonly { readonly memberId: string; readonly memberAssignment: Buffer }[];
  }): Promise<{ readonly memberAssignment: Buffer }>;
  heartbeat(request: {
    readonly groupId: string;
    readonly memberId: string;
    readonly groupGenerationId: number;
  }): Promise<unknown>;
  leaveGroup(request: { readonly groupId: string; readonly memberId: string }): Promise<unknown>;
  initProducerId(request: {
    readonly transactionalId: string | null;
    readonly transactionTimeout: number;
  }): Promise<{ readonly producerId: string; readonly producerEpoch: number }>;
  addPartitionsToTxn(request: ProducerIdentity & { readonly topics: readonly TopicPartitions[] }): Promise<unknown>;
  addOffsetsToTxn(request: ProducerIdentity & { readonly groupId: string }): Promise<unknown>;
  txnOffsetCommit(
    request: ProducerIdentity & {
      readonly groupId: string;
      readonly topics: readonly OffsetsOfTopic[];
    },
  ): Promise<unknown>;
  endTxn(request: ProducerIdentity & { readonly transactionResult: boolean }): Promise<unknown>;
  produce(request: {
    readonly transactionalId: string | null;
    readonly producerId: string | number;
    readonly producerEpoch: number;
    readonly acks: number;
    readonly timeout: number | undefined;
    readonly compression: number | undefined;
    readonly topicData: readonly unknown[];
  }): Promise<{
    readonly topics: readonly {
      readonly topicName: string;
      readonly partitions: readonly ProducedPartition[];
    }[];
  }>;
}

export interface ProducerIdentity {
  readonly transactionalId: string;
  readonly producerId: string | number;
  readonly producerEpoch: number;
}

export interface TopicPartitions {
  readonly topic: string;
  readonly partitions: readonly number[];
}

export interface OffsetsOfTopic {
  readonly topic: string;
  readonly partitions: readonly { readonly partition: number; readonly offset: string }[];
}

export interface ProducedPartition {
  readonly partition: number;
  readonly errorCode: number;
  readonly baseOffset: string;
}

export interface PartitionMetadata {
  readonly partitionId: number;
  readonly leader: number;
}

export interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  isConnected(): boolean;
  removeBroker(address: { readonly host: string; readonly port: number }): void;
  refreshMetadata(): Promise<void>;
  refreshMetadataIfNecessary(): Promise<void>;
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>;
  findTopicPartitionMetadata(topic: string): readonly PartitionMetadata[];
  findLeaderForPartitions(topic: string, partitions: readonly (number | string)[]): Record<string, number[]>;
  findBroker(node: { readonly nodeId: number | string }): Promise<Broker>;
  findControllerBroker(): Promise<Broker>;
}

/** The package's logger, as its internal classes want it. */
export interface PackageLogger {
  namespace(name: string): PackageLogger;
  debug(message: string, extra?: object): void;
  info(message: string, extra?: object): void;
  warn(message: string, extra?: object): void;
  error(message: string, extra?: object): void;
}

export interface ClusterOptions extends KafkaConfig {
  readonly logger: PackageLogger;
  readonly metadataMaxAge: number;
  readonly allowAutoTopicCreation: boolean;
  readonly isolationLevel: number;
}

export interface Codec<T> {
  encode(value: T): Buffer;
  decode(bytes: Buffer): T | null;
}

export const READ_COMMITTED = 1;
export const GROUP_COORDINATOR = 0;
export const TRANSACTION_COORDINATOR = 1;
