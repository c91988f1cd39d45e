// npm run test:postgres -- 16 [vitest's arguments]: the tests with a database, on another Postgres version.
import { installPostgres } from './postgres.mjs';

const [version, ...rest] = process.argv.slice(2);
if (version !== '14' && version !== '18') installPostgres(version);
process.env.DUOLOG_TEST_POSTGRES = version;
process.argv = [...process.argv.slice(0, 2), '--project=integration', '--project=conformance', ...rest];
await import('./test.mjs');
