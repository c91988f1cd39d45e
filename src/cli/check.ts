import { HttpSchemaRegistry } from '../avro/registry.js';
import { loadConfiguration, type LoadedConfiguration } from '../config/load.js';
import { problemText, type Problem } from '../config/problems.js';
import { registryOptions } from '../config/registry-connection.js';
import type { SystemUse } from '../connector/contract.js';
import type { EntitySystemPlan } from '../plan/plan.js';
import type { Log, TopicFinding } from '../log/contract.js';
import { TopicNames } from '../log/topics.js';
import { DuologError } from '../errors/duolog-error.js';
import type { TableShape } from '../model/table.js';
import { compilePlans, tablesNeeded } from '../plan/compile.js';
import type { SyncPlan } from '../plan/plan.js';
import { unmatchedTables } from '../plan/unmatched.js';
import { topicSpecs } from '../tasks/topic-specs.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { countFindings, printFindings, type PlacedFinding } from './findings.js';
import { describeError, inOneLine, type Output } from './output.js';
import { openQuietLog } from './quiet-log.js';
import { referencesTo, withSystems, type OpenedSystem } from './systems.js';

/** `duolog check`: everything that a run needs, looked at without changing anything. */
export async function check(options: { readonly config: string }, output: Output): Promise<ExitCode> {
  const loaded = loadConfiguration(options.config);
  const findings = await withSystems(loaded.configuration, async (systems) => {
    const shapes = await Promise.all(systems.map((system) => describeSystem(loaded, system)));
    const compiled = compile(loaded, shapes);
    const reached = systems.filter((_system, at) => shapes[at]?.reached === true);
    const [kafka, registry] = await Promise.all([checkKafka(loaded, compiled.plans), checkRegistry(loaded)]);
    const inSystems = await Promise.all(
      reached.map((system) => checkSystem(system, compiled.plans, kafka.positions.has(system.name))),
    );
    return [
      ...shapes.flatMap(({ findings }) => findings),
      ...compiled.findings,
      ...inSystems.flat(),
      ...kafka.findings,
      ...registry,
    ];
  });
  const counts = countFindings(findings);
  printFindings(findings, output);
  output.line(summary(counts));
  output.result({ ok: counts.error === 0, counts, findings });
  return counts.error === 0 ? EXIT.OK : EXIT.PROBLEM;
}

function summary(counts: ReturnType<typeof countFindings>): string {
  const errors = counts.error === 1 ? '1 error' : `${counts.error} errors`;
  const warnings = counts.warning === 1 ? '1 warning' : `${counts.warning} warnings`;
  return counts.error === 0 ? `Ready to run (${warnings}).` : `Not ready: ${errors}, ${warnings}.`;
}

function failure(place: string, what: string, error: unknown): PlacedFinding {
  const { code, message, hint, causes } = describeError(error);
  const because = causes.length === 0 ? '' : ` (${causes.join('; ')})`;
  const text = inOneLine({ message: `${code} ${message}${because}`, hint });
  return { place, severity: 'error', check: what, message: text, statement: null };
}

function good(place: string, what: string, message: string): PlacedFinding {
  return { place, severity: 'ok', check: what, message, statement: null };
}

interface Described {
  readonly shapes: readonly TableShape[];
  /** It answered, whatever it said. */
  readonly reached: boolean;
  readonly findings: readonly PlacedFinding[];
}

/** One table at a time, so that one that is not there hides nothing of the others. */
async function describeSystem({ configuration }: LoadedConfiguration, system: OpenedSystem): Promise<Described> {
  const shapes: TableShape[] = [];
  const findings: PlacedFinding[] = [];
  for (const reference of referencesTo(configuration, system.name)) {
    try {
      shapes.push(...(await system.catalogue.tables([reference])));
    } catch (error) {
      findings.push(failure(system.name, 'tables', error));
      if (!isAboutTable(error)) return { shapes: [], reached: false, findings };
    }
  }
  const tables = shapes.map((shape) => shape.table).join(', ');
  if (shapes.length > 0) findings.push(good(system.name, 'tables', `${shapes.length} tables found: ${tables}`));
  return { shapes, reached: true, findings };
}

function isAboutTable(error: unknown): boolean {
  return error instanceof DuologError && /^(TABLE|COLUMN)_/.test(error.code);
}

/** Compiles what can be; while a table is missing, only what is wrong whatever the tables are is told. */
function compile(
  loaded: LoadedConfiguration,
  described: readonly Described[],
): { readonly plans: readonly SyncPlan[]; readonly findings: readonly PlacedFinding[] } {
  const shapes = described.flatMap((one) => one.shapes);
  const compiled = compilePlans(loaded.configuration, shapes);
  const finding =
    (severity: 'error' | 'warning') =>
    (problem: Problem): PlacedFinding => ({
      place: 'configuration',
      severity,
      check: 'mapping',
      message: problemText(loaded.locate(problem)),
      statement: null,
    });
  if (shapes.length < tablesNeeded(loaded.configuration).length) {
    const known = compilePlans(loaded.configuration, null);
    const problems = known.ok ? [] : known.problems;
    return { plans: compiled.ok ? compiled.plans : compiled.partial, findings: problems.map(finding('error')) };
  }
  const warnings = compiled.warnings.map(finding('warning'));
  if (compiled.ok) warnings.push(...matchFindings(loaded, compiled.plans));
  if (!compiled.ok)
    return { plans: compiled.partial, findings: [...compiled.problems.map(finding('error')), ...warnings] };
  return { plans: compiled.plans, findings: [good('configuration', 'mapping', 'it fits the tables'), ...warnings] };
}

/** Where a first start would double what is there already. */
function matchFindings(loaded: LoadedConfiguration, plans: readonly SyncPlan[]): readonly PlacedFinding[] {
  return unmatchedTables(loaded.configuration, plans).map(({ path, system, table, why }) => {
    const problem = loaded.locate({
      path,
      message: `nothing tells which rows of ${table} in ${system} are records of another system too: ${why}`,
      suggestion: 'A first start wants that table empty. Give a match rule that works there, or write match: none.',
    });
    return {
      place: 'configuration',
      severity: 'warning',
      check: 'no-match',
      message: problemText(problem),
      statement: null,
    };
  });
}

async function checkSystem(
  system: OpenedSystem,
  plans: readonly SyncPlan[],
  hasPosition: boolean,
): Promise<readonly PlacedFinding[]> {
  try {
    const use = useOf(plans, system.name, hasPosition);
    const findings = await system.catalogue.check(entitiesOf(plans, system.name), use);
    return findings.map((finding) => ({ ...finding, place: system.name }));
  } catch (error) {
    return [failure(system.name, 'check', error)];
  }
}

/** Every entity's table in one system, over all syncs. */
export function entitiesOf(plans: readonly SyncPlan[], system: string): readonly EntitySystemPlan[] {
  return plans.flatMap((plan) =>
    plan.entities.flatMap((entity) => {
      const table = entity.systems[system];
      return table === undefined ? [] : [table];
    }),
  );
}

/** What a system's set-up depends on beyond its tables; plans of one configuration share their prefix. */
export function useOf(plans: readonly SyncPlan[], system: string, hasPosition: boolean): SystemUse {
  const match: Record<string, (readonly string[])[]> = {};
  for (const entity of plans.flatMap((plan) => plan.entities)) {
    const columns = entity.systems[system]?.columns ?? [];
    const rules = entity.match.map(({ on }) =>
      on.flatMap((field) => columns.find((column) => column.field === field)?.column ?? []),
    );
    match[entity.name] = rules.filter((rule, at) => rule.length === entity.match[at]!.on.length);
  }
  return { prefix: plans[0]?.prefix ?? '', match, hasPosition };
}

interface CheckedKafka {
  readonly findings: readonly PlacedFinding[];
  /** Systems that an earlier run has read from. */
  readonly positions: ReadonlySet<string>;
}

async function checkKafka({ configuration }: LoadedConfiguration, plans: readonly SyncPlan[]): Promise<CheckedKafka> {
  try {
    const log = await openQuietLog(configuration.kafka);
    try {
      const reached = good('kafka', 'connection', `cluster ${await log.clusterId()} answers`);
      const topics = await log.inspectTopics(topicSpecs(plans, configuration.retention.decisionsMs));
      const missing = new Set(topics.filter(({ state }) => state === 'missing').map(({ topic }) => topic));
      const positions = await systemsWithPosition(log, configuration.prefix, plans, missing);
      return { findings: [reached, ...topicFindings(topics)], positions };
    } finally {
      await log.close();
    }
  } catch (error) {
    return { findings: [failure('kafka', 'connection', error)], positions: new Set() };
  }
}

async function systemsWithPosition(
  log: Log,
  prefix: string,
  plans: readonly SyncPlan[],
  missing: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const names = new TopicNames(prefix);
  const found = new Set<string>();
  for (const system of new Set(plans.flatMap(({ systems }) => systems))) {
    const captured = entitiesOf(plans, system).some((entity) => entity.captured);
    if (!captured || missing.has(names.position(system))) continue;
    if ((await log.bounds(names.position(system))).end > 0) found.add(system);
  }
  return found;
}

/** Topics that are right or only missing are told in one line each kind. */
function topicFindings(topics: readonly TopicFinding[]): readonly PlacedFinding[] {
  const right = topics.filter((topic) => topic.state === 'ok').length;
  const missing = topics.filter((topic) => topic.state === 'missing').length;
  const different = topics.filter((topic) => topic.state === 'different');
  return [
    ...(right === 0 ? [] : [good('kafka', 'topics', `${right} topics are there with the right settings`)]),
    ...(missing === 0 ? [] : [good('kafka', 'topics', `${missing} topics will be created at the start`)]),
    ...different.map(
      ({ topic, message }): PlacedFinding => ({
        place: 'kafka',
        severity: 'error',
        check: 'topic-settings',
        message: `${topic}: ${message}`,
        statement: null,
      }),
    ),
  ];
}

/** An id that no registry gives: an answer that it is unknown is an answer. */
const NO_SCHEMA = 2_147_483_647;

async function checkRegistry({ configuration }: LoadedConfiguration): Promise<readonly PlacedFinding[]> {
  const place = 'schema registry';
  const { url } = registryOptions(configuration.kafka);
  try {
    await new HttpSchemaRegistry({ url }).schema(NO_SCHEMA);
  } catch (error) {
    if (!(error instanceof DuologError)) return [failure(place, 'connection', error)];
    if (error.code !== 'SCHEMA_UNKNOWN') return [failure(place, 'connection', askedInVain(url, error))];
  }
  return [good(place, 'connection', 'it answers')];
}

/** Without the schema that was asked for: there is none such, and nobody is to look for it. */
function askedInVain(url: string, { code, cause }: DuologError): DuologError {
  const hosts = url.split(',').map((each) => new URL(each).host);
  const what = code === 'REGISTRY_REFUSED' ? 'refused to answer' : 'did not answer';
  return new DuologError(code, `The schema registry at ${hosts.join(', ')} ${what}`, { cause });
}
