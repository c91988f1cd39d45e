import { kafkaLogOptions } from '../config/kafka-connection.js';
import type { KafkaConfiguration } from '../config/schema.js';
import { openLog } from '../kafka/index.js';
import type { Log } from '../log/contract.js';
import { createLogger } from '../logging/logger.js';

/** Kafka for a command that tells its troubles itself: nothing is logged beside its output. */
export function openQuietLog(kafka: KafkaConfiguration): Promise<Log> {
  return openLog(kafkaLogOptions(kafka, createLogger({ level: 'silent', format: 'json' })));
}
