import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { DuologError } from '../errors/duolog-error.js';
import { EXIT, type ExitCode } from './exit-codes.js';
import { createOutput, type Output } from './output.js';
import type { HoldsOptions } from './holds.js';
import type { Role, RunOptions } from './run.js';
import type { ResyncOptions } from './resync.js';
import type { StatusOptions } from './status.js';
import { version } from './version.js';

const ROLES: readonly Role[] = ['source', 'stream', 'sink'];
const DEFAULT_FILE = 'duolog.yaml';

interface CommonOptions {
  readonly config: string;
  readonly json: boolean;
}

/** Each command's modules are loaded when it is called: `--help` need not wait for a Kafka client. */
type Action<Options> = (options: Options & CommonOptions, output: Output) => Promise<ExitCode>;

/** Runs one command line and gives its exit code; every error is printed here, once. */
export async function runCommandLine(words: readonly string[]): Promise<ExitCode> {
  let exitCode: ExitCode = EXIT.OK;
  const program = createProgram(<Options>(action: Action<Options>) => async (options: Options & CommonOptions) => {
    exitCode = await guarded(action, options);
  });
  try {
    await program.parseAsync([...words], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.OK : EXIT.USAGE;
    throw error;
  }
}

async function guarded<Options>(action: Action<Options>, options: Options & CommonOptions): Promise<ExitCode> {
  const output = createOutput(options.json);
  try {
    return await action(options, output);
  } catch (error) {
    output.error(error);
    return error instanceof DuologError && USAGE_CODES.has(error.code) ? EXIT.USAGE : EXIT.PROBLEM;
  }
}

const USAGE_CODES: ReadonlySet<string> = new Set(['CONFIG_INVALID', 'CONFIG_NOT_FOUND', 'NAME_UNKNOWN']);

type Wrap = <Options>(action: Action<Options>) => (options: Options & CommonOptions) => Promise<void>;

/** Every command with its options; `wrap` makes what runs of what is to be done. */
export function createProgram(wrap: Wrap): Command {
  const program = new Command('duolog')
    .description(
      'Keeps business records in agreement between systems, in both directions, through Kafka, exactly once.',
    )
    .version(version(), '-V, --version')
    .exitOverride()
    .showSuggestionAfterError()
    .addHelpText('after', EXIT_HELP);
  add(program, 'run', 'Keep the systems in agreement until told to stop.')
    .addOption(
      new Option('--roles <roles>', 'only these tasks, of source, stream and sink, with commas')
        .argParser(parseRoles)
        .default(ROLES, 'all'),
    )
    .addOption(
      new Option('--observe', 'look only: read both sides, say what would be done, write to no table')
        .default(false)
        .conflicts('roles'),
    )
    .addOption(
      new Option('--list <count>', 'with --observe: most records of a kind to list')
        .argParser(parseCount)
        .default(null, '20, with --json 10000'),
    )
    .hook('preAction', (command) => {
      const { list, observe } = command.opts<RunOptions>();
      if (list !== null && !observe) command.error("error: option '--list <count>' is for '--observe' only");
    })
    .action(wrap<RunOptions>(async (options, output) => (await import('./run.js')).run(options, output)));
  add(program, 'check', 'Look whether everything that a run needs is right, and say what would mend it.').action(
    wrap(async (options, output) => (await import('./check.js')).check(options, output)),
  );
  add(program, 'plan', 'Show what a first run would create in the systems and on Kafka.').action(
    wrap(async (options, output) => (await import('./plan.js')).plan(options, output)),
  );
  add(program, 'status', 'Show what a running process is doing.')
    .option('--url <url>', 'address of its API; by default the one of the configuration')
    .action(wrap<StatusOptions>(async (options, output) => (await import('./status.js')).status(options, output)));
  add(program, 'holds', 'List the records that wait, the longest waiting first, and why.')
    .option('--system <system>', 'only those of this system')
    .option('--entity <entity>', 'only those of this entity')
    .addOption(new Option('--limit <count>', 'most to list').argParser(parseCount).default(100))
    .action(wrap<HoldsOptions>(async (options, output) => (await import('./holds.js')).holds(options, output)));
  add(
    program,
    'resync',
    'Have a system read again and compared with what is known, after changes or commands were lost.',
  )
    .argument('<system>', 'the system, as the configuration names it')
    .option('--entity <entities...>', 'only these entities')
    .option('--allow-deletes', 'records that are no longer there were deleted, however many they are', false)
    .action((system: string, options: ResyncOptions & CommonOptions) =>
      wrap<ResyncOptions>(async (each, output) => (await import('./resync.js')).resync(system, each, output))(options),
    );
  return program;
}

function add(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .exitOverride()
    .addOption(new Option('-c, --config <file>', 'the configuration').env('DUOLOG_CONFIG').default(DEFAULT_FILE))
    .option('--json', 'print one JSON object instead of text', false);
}

function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError(`"${text}" is no whole number.`);
  return Number(text);
}

function parseRoles(text: string): readonly Role[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !ROLES.some((role) => role === name));
  if (unknown !== undefined) throw new InvalidArgumentError(`"${unknown}" is none of ${ROLES.join(', ')}.`);
  return ROLES.filter((role) => names.includes(role));
}

const EXIT_HELP = `
Exit codes:
  0  done, and nothing is wrong
  1  done, and something is wrong
  2  the command line or the configuration is wrong; nothing was done
  3  ended before it was done (second signal, ten seconds after the first, or run --observe before its report)`;
