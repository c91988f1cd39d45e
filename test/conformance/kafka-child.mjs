// What a process of its own does in the tests of transactions and leases: it can be killed and frozen.
//   commit SOURCES BROKERS TRANSACTIONAL_ID TOPIC COUNT    commits COUNT transactions of one record
//   lease  SOURCES BROKERS GROUP SESSION_MS                holds a lease; "block MS" on its input blocks it
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import pino from 'pino';

const [command, sources, brokers, name, ...rest] = process.argv.slice(2);
const { openLog } = await import(pathToFileURL(`${sources}/src/kafka/index.js`).href);
const say = (line) => process.stdout.write(`${line}\n`);
const options = { brokers: brokers.split(','), clientId: 'child', logger: pino({ level: 'silent' }) };

if (command === 'commit') {
  const [topic, count] = rest;
  const log = await openLog(options);
  try {
    const producer = await log.producer(name);
    say('open');
    for (let number = 1; number <= Number(count); number++) {
      const messages = [{ key: Buffer.from(`child-${number}`), value: Buffer.from('of the child') }];
      await producer.commit({ task: 'source', sends: [{ topic, messages }] });
      say(`committed ${number}`);
    }
  } catch (error) {
    say(`failed ${error.code}`);
  }
  await log.close();
} else {
  const log = await openLog({ ...options, sessionTimeoutMs: Number(rest[0]) });
  const tenure = await log.lease(name).acquire(new AbortController().signal);
  say('holding');
  tenure.lost.addEventListener('abort', () => say('lost'));
  createInterface({ input: process.stdin }).on('line', (line) => {
    const [, milliseconds] = line.split(' ');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(milliseconds));
  });
}
