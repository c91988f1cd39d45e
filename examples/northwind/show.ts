import { styleText } from 'node:util';
import type { Comparison } from './compare.js';
import { configurationFile, type DuologRun } from './duolog-run.js';
import type { Databases } from './edits.js';
import type { Shown } from './play.js';
import type { Servers } from './servers.js';
import type { Held } from './subscriber.js';

/** What the demo prints. Colours only on a terminal. */
const colours = process.stdout.isTTY && !process.env.NO_COLOR;

type Style = Parameters<typeof styleText>[0];

function styled(style: Style, text: string): string {
  return colours ? styleText(style, text) : text;
}

export function say(text: string): void {
  console.log(text);
}

export function showEdit({ title, done, arrivals, why }: Shown): void {
  say(styled('bold', title));
  for (const line of done) say(`  ${line}`);
  for (const { system, what, latencyMs } of arrivals) {
    say(`  ${styled('green', `→ ${system} after ${Math.round(latencyMs)} ms`)}: ${what}`);
  }
  for (const line of why) say(`  ${styled('dim', `why: ${line}`)}`);
  say('');
}

export function showComparison(comparisons: readonly Comparison[]): void {
  say(styled('bold', 'Both sides, compared by SQL of the demo’s own'));
  say(`  ${'entity'.padEnd(12)}${'erp'.padStart(8)}${'crm'.padStart(8)}${'equal'.padStart(8)}`);
  for (const { entity, inErp, inCrm, equal, different } of comparisons) {
    const row = [inErp, inCrm, equal].map((count) => String(count).padStart(8)).join('');
    const same = inErp === equal && inCrm === equal;
    const note = same ? '' : `  different: ${different.join(', ')}`;
    say(`  ${styled(same ? 'green' : 'red', `${entity.padEnd(12)}${row}${note}`)}`);
  }
}

/** Records that wait, with the reason; there should be none. */
export function showHeld(held: readonly Held[]): void {
  if (held.length === 0) say('  Nothing is held.');
  for (const { entity, system, reason, detail } of held.slice(0, 10)) {
    say(styled('red', `  held: ${entity} in the ${system}, ${reason}: ${detail}`));
  }
  if (held.length > 10) say(styled('red', `  … and ${held.length - 10} more`));
}

export function showConnections(servers: Servers, duolog: DuologRun, prefix: string): void {
  say(`\n${styled('bold', 'It goes on: change something yourself.')}`);
  say(`  psql ${servers.erp}`);
  say(`     UPDATE customer SET phone = '12345' WHERE customer_id = 'ALFKI';`);
  say(`  psql ${servers.crm}`);
  say(`     SELECT comp_name, comp_phone FROM company WHERE comp_name ILIKE 'alfreds%';`);
  say(`  Kafka            ${servers.brokers.join(',')}   topics ${prefix}.*`);
  say(`  Schema registry  ${servers.registry}`);
  say(`  Metrics          ${duolog.metricsUrl}`);
  say(`  Duolog's log     ${duolog.logFile}`);
  say(`  Configuration    ${configurationFile}`);
  say('\nCtrl-C ends it all.');
}

/** In somebody's own databases a slot keeps the log from being removed once nobody reads it. */
export async function showWhatStays(databases: Databases): Promise<void> {
  say('\n  These replication slots stay in your databases and keep their logs; drop them when you are done:');
  for (const [name, database] of Object.entries(databases) as [string, Databases['erp']][]) {
    const { rows } = await database.query<{ slot_name: string }>(
      'SELECT slot_name FROM pg_replication_slots WHERE database = current_database()',
    );
    for (const { slot_name } of rows) say(`    ${name}: SELECT pg_drop_replication_slot('${slot_name}');`);
  }
}
