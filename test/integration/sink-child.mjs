/** A sink in a process of its own, to be killed and frozen: applies one batch and says what came of it. */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

let text = '';
for await (const chunk of process.stdin) text += chunk;
const { folder, url, options, birth, batch } = JSON.parse(text);
const { PostgresSink } = await import(pathToFileURL(join(folder, 'connectors/postgres/sink.js')).href);
const sink = new PostgresSink({ url }, options);
await sink.open(birth);
try {
  const result = await sink.apply(batch, (answered) => ({ lowest: 0, answered }));
  console.log(JSON.stringify({ outcomes: result.outcomes.map(({ outcome }) => outcome.status) }));
} catch (error) {
  console.log(JSON.stringify({ code: error.code }));
}
await sink.close();
