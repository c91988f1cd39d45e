import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { DuologError } from '../errors/duolog-error.js';
import { parseConfigurationText } from './document.js';
import { configurationError, didYouMean, pathText, type LocatedProblem, type Path, type Problem } from './problems.js';
import { configurationSchema, type Configuration, type TlsConfiguration } from './schema.js';

/** A configuration that fits the schema, and the way from a path to its place in the file for later checks. */
export interface LoadedConfiguration {
  readonly configuration: Configuration;
  readonly file: string;
  readonly locate: (problem: Problem) => LocatedProblem;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads and checks the configuration file; relative file names in it are taken from its own folder.
 * @throws DuologError CONFIG_NOT_FOUND, or CONFIG_INVALID with every problem at once.
 */
export function loadConfiguration(file: string, environment: Environment = process.env): LoadedConfiguration {
  return checkConfiguration(readConfiguration(file), file, environment);
}

function readConfiguration(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new DuologError('CONFIG_NOT_FOUND', `The configuration file ${file} cannot be read.`, { cause });
  }
}

/** The same for a text; `file` names it in messages. */
export function checkConfiguration(text: string, file: string, environment: Environment): LoadedConfiguration {
  const parsed = parseConfigurationText(text, file, environment);
  if (parsed.value === undefined) throw configurationError(parsed.problems);
  const result = configurationSchema.safeParse(parsed.value, { error: explain });
  const found = result.success
    ? meaningProblems(result.data)
    : result.error.issues.flatMap((issue) => toProblems(issue));
  // A value that lacks its variable is nothing to complain about further.
  const lacking = new Set(parsed.problems.map(({ path }) => pathText(path)));
  const problems = [
    ...parsed.problems,
    ...found.filter(({ path }) => !lacking.has(pathText(path))).map((problem) => parsed.locate(problem)),
  ];
  problems.sort((left, right) => (left.line ?? 0) - (right.line ?? 0) || (left.column ?? 0) - (right.column ?? 0));
  if (problems.length > 0 || !result.success) throw configurationError(problems);
  return { configuration: withAbsoluteFiles(result.data, file), file, locate: parsed.locate };
}

function withAbsoluteFiles(configuration: Configuration, file: string): Configuration {
  const absolute = (name: string): string => resolve(dirname(file), name);
  const { kafka, state } = configuration;
  const files = Object.entries(kafka.tls ?? {}).map(([key, name]) => [key, name === undefined ? name : absolute(name)]);
  const tls: TlsConfiguration = kafka.tls === null ? null : Object.fromEntries(files);
  return { ...configuration, kafka: { ...kafka, tls }, state: { folder: absolute(state.folder) } };
}

type RawIssue = z.core.$ZodRawIssue;

/**
 * Messages of the kinds that zod words for programmers; never with the value, which may be a secret.
 * Where a suggestion needs more than zod hands on, the message is JSON for `toProblems`.
 */
function explain(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined || issue.input === null ? 'is missing' : `must be ${article(issue.expected)}`;
    case 'unrecognized_keys':
      return JSON.stringify({ known: knownKeys(issue.inst) });
    case 'invalid_value':
      return JSON.stringify({ given: typeof issue.input === 'string' ? issue.input : null });
    case 'invalid_union':
      return issue.note === 'No matching discriminator'
        ? 'is not a kind of system that Duolog knows; known: postgres'
        : undefined;
    case 'too_small':
      return issue.origin === 'number' || issue.origin === 'int'
        ? `must be at least ${String(issue.minimum)}`
        : undefined;
    case 'too_big':
      return issue.origin === 'number' || issue.origin === 'int'
        ? `must be at most ${String(issue.maximum)}`
        : undefined;
    default:
      return undefined;
  }
}

function article(type: string): string {
  switch (type) {
    case 'object':
    case 'record':
      return 'a map of keys and values';
    case 'array':
      return 'a list';
    case 'int':
      return 'a whole number';
    case 'boolean':
      return 'true or false';
    case 'string':
      return 'a text';
    default:
      return `a ${type}`;
  }
}

function alternatives(values: readonly unknown[]): string {
  const texts = values.map(String);
  const last = texts.pop() ?? '';
  return texts.length === 0 ? last : `${texts.join(', ')} or ${last}`;
}

function knownKeys(schema: RawIssue['inst']): readonly string[] {
  const definition = schema?._zod.def as { readonly shape?: Readonly<Record<string, unknown>> } | undefined;
  return Object.keys(definition?.shape ?? {});
}

function toProblems(issue: z.core.$ZodIssue, prefix: Path = []): readonly Problem[] {
  const path = [...prefix, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
  switch (issue.code) {
    case 'unrecognized_keys': {
      const { known } = JSON.parse(issue.message) as { readonly known: readonly string[] };
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: 'unknown key',
        suggestion: didYouMean(key, known),
      }));
    }
    case 'invalid_key':
      return [{ path, message: `the name ${issue.issues.map((inner) => inner.message).join('; ')}`, suggestion: null }];
    case 'invalid_union':
      return unionProblems(issue, path);
    case 'invalid_value':
      return [valueProblem(issue, path)];
    default:
      return [{ path, message: issue.message, suggestion: null }];
  }
}

function valueProblem(issue: z.core.$ZodIssueInvalidValue, path: Path): Problem {
  const { given } = JSON.parse(issue.message) as { readonly given: string | null };
  const suggestion = given === null ? null : didYouMean(given, issue.values.map(String));
  const close = suggestion?.startsWith('Did') === true ? suggestion : null;
  return { path, message: `must be ${alternatives(issue.values)}`, suggestion: close };
}

/** Of the alternatives the one whose kind of value was given, else the first. */
function unionProblems(issue: z.core.$ZodIssueInvalidUnion, path: Path): readonly Problem[] {
  const isDeeper = (inner: z.core.$ZodIssue): boolean => inner.path.length > 0 || inner.code === 'unrecognized_keys';
  const fitting =
    issue.errors.find((issues) => issues.some(isDeeper)) ??
    issue.errors.find((issues) => !issues.some((inner) => inner.code === 'invalid_type'));
  const chosen = fitting ?? issue.errors[0];
  if (chosen === undefined) return [{ path, message: issue.message, suggestion: null }];
  return chosen.flatMap((inner) => toProblems(inner, path));
}

/** What the schema alone cannot see. */
function meaningProblems(configuration: Configuration): readonly Problem[] {
  const problems: Problem[] = [];
  const systems = Object.keys(configuration.systems);
  const { replicationFactor, minInsyncReplicas } = configuration.kafka;
  if (minInsyncReplicas > replicationFactor) {
    problems.push({
      path: ['kafka', 'minInsyncReplicas'],
      message: `is ${minInsyncReplicas}, more than the ${replicationFactor} copies of replicationFactor`,
      suggestion: null,
    });
  }
  if (systems.length === 0) problems.push({ path: ['systems'], message: 'names no system', suggestion: null });
  if (Object.keys(configuration.syncs).length === 0) {
    problems.push({ path: ['syncs'], message: 'names no sync', suggestion: null });
  }
  const entityOwner = new Map<string, string>();
  for (const [sync, { entities, leading }] of Object.entries(configuration.syncs)) {
    leading.forEach((system, at) => {
      if (!systems.includes(system)) problems.push(unknownSystem(['syncs', sync, 'leading', at], system, systems));
    });
    for (const [entity, definition] of Object.entries(entities)) {
      const path = ['syncs', sync, 'entities', entity];
      const owner = entityOwner.get(entity);
      if (owner !== undefined) {
        problems.push({
          path,
          message: `the entity is already in the sync ${owner}`,
          suggestion: 'An entity belongs to one sync.',
        });
      }
      entityOwner.set(entity, sync);
      for (const system of Object.keys(definition.systems)) {
        if (!systems.includes(system)) problems.push(unknownSystem([...path, 'systems', system], system, systems));
      }
    }
  }
  return problems;
}

function unknownSystem(path: Path, system: string, systems: readonly string[]): Problem {
  return { path, message: `there is no system ${system}`, suggestion: didYouMean(system, systems) };
}
