import pino from 'pino';
import { type KafkaLogOptions, openLog } from '../../src/kafka/index.js';
import type { Log, LogMessage, LogReader, LogRecord } from '../../src/log/contract.js';

/** A log for a test, silent unless DUOLOG_TEST_LOG names a level. */
export function openTestLog(brokers: readonly string[], options: Partial<KafkaLogOptions> = {}): Promise<Log> {
  return openLog({
    brokers,
    clientId: 'conformance',
    logger: pino({ level: process.env['DUOLOG_TEST_LOG'] ?? 'silent' }),
    ...options,
  });
}

export function message(key: string, value: string | Buffer | null = key): LogMessage {
  return { key: Buffer.from(key), value: typeof value === 'string' ? Buffer.from(value) : value };
}

export function keysOf(records: readonly LogRecord[]): string[] {
  return records.map(({ key }) => key?.toString() ?? 'null');
}

/** Every committed record of a topic from an offset to its end. */
export async function readAll(log: Log, topic: string, offset = 0): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  await log.readToEnd(topic, offset, (batch) => {
    for (const record of batch) records.push(record);
  });
  return records;
}

/** Polls until as many records have come, or the time is over. */
export async function pollUntil(reader: LogReader, count: number, timeoutMs = 60_000): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  const deadline = Date.now() + timeoutMs;
  while (records.length < count && Date.now() < deadline) {
    records.push(...(await reader.poll({ maxRecords: 10_000, maxWaitMs: 200 })));
  }
  return records;
}
