import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { DuologError } from '../../src/errors/duolog-error.js';
import { createLogger, type LoggingOptions } from '../../src/logging/logger.js';

function collect(): { readonly destination: NonNullable<LoggingOptions['destination']>; text(): string } {
  let text = '';
  const destination = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  return { destination, text: () => text };
}

describe('the log', () => {
  it('is one JSON object a line, with level and time as text', () => {
    const { destination, text } = collect();
    createLogger({ level: 'info', format: 'json', destination }).info({ system: 'crm', lag_seconds: 1.5 }, 'committed');
    expect(JSON.parse(text())).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      system: 'crm',
      lag_seconds: 1.5,
      msg: 'committed',
    });
  });

  it('shows neither secrets nor the values of records', () => {
    const { destination, text } = collect();
    const log = createLogger({ level: 'info', format: 'json', destination });
    log.info(
      { url: 'postgres://me:hunter2@host', password: 'hunter2', change: { after: { name: 'Alfreds' } } },
      'open postgres://x:hunter2@y',
    );
    log.child({ row: { name: 'Alfreds' } }).warn('a row');
    log.error({ err: new Error('connect to postgres://x:hunter2@y failed') }, 'no connection');
    expect(text()).not.toMatch(/hunter2|Alfreds/);
    expect(text()).toContain('postgres://me:***@host');
  });

  it('shows our own errors with code and hint, without a stack', () => {
    const { destination, text } = collect();
    const cause = new Error('password=hunter2 refused', { cause: new Error('ECONNREFUSED') });
    const err = new DuologError('CONFIG_INVALID', 'It is wrong.', { cause });
    createLogger({ level: 'info', format: 'json', destination }).error({ err }, 'stopped');
    expect(JSON.parse(text()).err).toEqual({
      code: 'CONFIG_INVALID',
      message: 'It is wrong.',
      hint: expect.any(String),
      retry: 'never',
      cause: 'password=*** refused ← ECONNREFUSED',
    });
  });

  it('is one line a message for people', () => {
    const { destination, text } = collect();
    createLogger({ level: 'debug', format: 'pretty', destination }).debug({ system: 'crm' }, 'committed');
    expect(text()).toMatch(/^\[\d\d:\d\d:\d\d\.\d+\] DEBUG: committed \{"system":"crm"\}\n$/);
  });
});
