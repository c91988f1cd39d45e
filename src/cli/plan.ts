import { loadConfiguration } from '../config/load.js';
import { topicSpecs } from '../tasks/topic-specs.js';
import { compileOrThrow } from './compiled.js';
import { entitiesOf, useOf } from './check.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import type { Output } from './output.js';
import { openQuietLog } from './quiet-log.js';
import { readShapes, withSystems } from './systems.js';

/** `duolog plan`: what a first run would create, as statements for each system and as topics. Changes nothing. */
export async function plan(options: { readonly config: string }, output: Output): Promise<ExitCode> {
  const loaded = loadConfiguration(options.config);
  const { configuration } = loaded;
  const { plans, statements } = await withSystems(configuration, async (systems) => {
    const shapes = (await Promise.all(systems.map((system) => readShapes(configuration, system)))).flat();
    const compiled = compileOrThrow(loaded, shapes);
    const planned = systems.map(async (system) => ({
      system: system.name,
      statements: await system.catalogue.plan(entitiesOf(compiled, system.name), useOf(compiled, system.name, false)),
    }));
    return { plans: compiled, statements: await Promise.all(planned) };
  });
  const specs = topicSpecs(plans, configuration.retention.decisionsMs);
  const log = await openQuietLog(configuration.kafka);
  const topics = await log.inspectTopics(specs).finally(() => log.close());
  const missing = topics.filter((topic) => topic.state === 'missing').map(({ topic }) => topic);
  for (const { system, statements: lines } of statements) {
    output.line(output.paint('bold', system));
    output.line(
      lines.length === 0
        ? '  nothing to create'
        : lines.map((line) => `  ${line.trim()};`.replace(/;;$/, ';')).join('\n'),
    );
  }
  output.line(output.paint('bold', 'kafka'));
  output.line(missing.length === 0 ? '  nothing to create' : missing.map((topic) => `  topic ${topic}`).join('\n'));
  output.result({ systems: statements, topics: specs.filter((spec) => missing.includes(spec.name)) });
  return EXIT.OK;
}
