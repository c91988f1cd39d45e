/**
 * Loaded before everything else (`NODE_OPTIONS=--require`), it leaves kafkajs as it is: every module of the package is
 * marked as corrected already, so that src/kafka/module-cache.ts does not touch it. The mark reaches child processes too.
 */
const { readdirSync } = require('node:fs');
const { dirname, join } = require('node:path');

const root = join(dirname(require.resolve('kafkajs/package.json')), 'src');
const mark = Symbol.for('duolog.kafkajs');
for (const entry of readdirSync(root, { recursive: true })) {
  if (!entry.endsWith('.js') || /__tests__|\.spec\.js$/.test(entry)) continue;
  const path = join(root, entry);
  require(path);
  require.cache[path][mark] = true;
}
