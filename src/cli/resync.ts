import { HttpSchemaRegistry } from '../avro/registry.js';
import { loadConfiguration } from '../config/load.js';
import { registryOptions } from '../config/registry-connection.js';
import type { Configuration } from '../config/schema.js';
import type { RequestRecord } from '../avro/progress-codec.js';
import { TopicNames } from '../log/topics.js';
import { askForResync, type AskedSystem } from '../tasks/resync/ask.js';
import { systemClock } from '../tasks/clock.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { refuseUnknown } from './known-names.js';
import type { Output } from './output.js';
import { openQuietLog } from './quiet-log.js';

export interface ResyncOptions {
  readonly config: string;
  /** All where none is named. */
  readonly entity?: readonly string[];
  /** Records that are no longer there were deleted, however many they are. */
  readonly allowDeletes?: boolean;
}

/**
 * `duolog resync crm`: asks for a system to be read again and compared with what is known. Whoever runs its source
 * takes that up; nothing is written to a system here.
 */
export async function resync(system: string, options: ResyncOptions, output: Output): Promise<ExitCode> {
  const { configuration } = loadConfiguration(options.config);
  const asked = askedSystem(configuration, system);
  const named = options.entity ?? [];
  refuseUnknown('entity', named, [...new Set(asked.tables.map(({ entity }) => entity))], ` in ${system}`);
  const { kafka, prefix } = configuration;
  const log = await openQuietLog(kafka);
  try {
    const context = {
      log,
      registry: new HttpSchemaRegistry(registryOptions(kafka)),
      topics: new TopicNames(prefix),
      clock: systemClock,
    };
    const entities = named.length === 0 ? null : [...new Set(named)];
    const request = await askForResync(context, asked, { entities, allowDeletes: options.allowDeletes ?? false });
    const { id, ends, allowDeletes } = request;
    tell(asked, request, output);
    output.result({ system, request: id, entities: request.entities, allowDeletes, ends });
    return EXIT.OK;
  } finally {
    await log.close();
  }
}

function askedSystem({ prefix, syncs, systems }: Configuration, system: string): AskedSystem {
  refuseUnknown('system', [system], Object.keys(systems));
  const tables = Object.entries(syncs).flatMap(([sync, { entities }]) =>
    Object.entries(entities).flatMap(([entity, { systems: places }]) => {
      const place = places[system];
      return place === undefined ? [] : [{ sync, entity, captured: place.capture, written: place.write }];
    }),
  );
  return { prefix, system, tables };
}

function tell({ system, tables }: AskedSystem, { entities, allowDeletes }: RequestRecord, output: Output): void {
  const asked = tables.filter(({ entity }) => entities?.includes(entity) ?? true);
  const captured = asked.filter(({ captured: is }) => is).map(({ entity }) => entity);
  const written = asked.filter(({ captured: is, written: isWritten }) => !is && isWritten).map(({ entity }) => entity);
  output.line(`A resync of ${system} has been asked for.`);
  if (captured.length > 0) {
    output.line(`  ${captured.join(', ')}: the source reads every row again and compares it with what is known;`);
    output.line(
      '  if changes have been lost, it makes a new slot and reads all of its tables. The stream goes on meanwhile.',
    );
  }
  if (allowDeletes && captured.length > 0) {
    output.line('  Records that are not there any more were deleted, however many they are.');
  }
  if (written.length > 0) {
    output.line(`  ${written.join(', ')}: not captured; commands without an answer are sent again.`);
  }
  output.line('  A task that waits for this goes on within 30 seconds. `duolog status` shows how far it is.');
}
