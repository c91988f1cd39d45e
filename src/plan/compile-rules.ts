import { didYouMean, type Path } from '../config/problems.js';
import type { EntityConfiguration, RuleConfiguration } from '../config/sync-schema.js';
import type { Findings } from './findings.js';
import type { ConflictPlan, ConflictRule, FieldPlan, MatchRule } from './plan.js';

/** Match rules and conflict policies of one entity. */
export interface RuleContext {
  readonly entity: EntityConfiguration;
  readonly fields: readonly FieldPlan[];
  readonly path: Path;
  readonly findings: Findings;
}

const DEFAULT_WITHIN_MS = 2000;

export function compileFields(entity: EntityConfiguration, path: Path, findings: Findings): readonly FieldPlan[] {
  const fields = Object.entries(entity.fields).map(([name, field]) => ({
    name,
    type: field.type,
    nullable: field.nullable,
    group: field.group ?? name,
  }));
  if (fields.length === 0) findings.problem([...path, 'fields'], 'names no field');
  for (const field of fields) {
    const namesake = fields.find((other) => other.name === field.group && other.group !== field.group);
    if (namesake !== undefined) {
      findings.problem([...path, 'fields', field.name], `its group ${field.group} has the name of a field outside it`);
    }
  }
  return fields;
}

export function compileMatch(context: RuleContext): readonly MatchRule[] {
  const names = new Set<string>();
  const { match } = context.entity;
  if (match === 'none') return [];
  return match.map((rule, at) => {
    const path = [...context.path, 'match', at];
    rule.on.forEach((field, index) => checkMatchField(context, field, [...path, 'on', index]));
    const name = rule.name ?? rule.on.join('_');
    if (names.has(name)) context.findings.problem(path, `there are two rules of the name ${name}`);
    names.add(name);
    return { name, on: rule.on, normalise: rule.normalise };
  });
}

const UNMATCHABLE = new Set(['reference', 'json', 'bytes', 'float']);

function checkMatchField(context: RuleContext, name: string, path: Path): void {
  const field = context.fields.find((candidate) => candidate.name === name);
  if (field === undefined) {
    const suggestion = didYouMean(
      name,
      context.fields.map((candidate) => candidate.name),
    );
    context.findings.problem(path, `there is no field ${name}`, suggestion);
    return;
  }
  if (UNMATCHABLE.has(field.type.kind)) {
    context.findings.problem(path, `a field of type ${field.type.kind} cannot be matched`);
  }
  const mapped = Object.values(context.entity.systems).filter((table) => table.map[name] !== undefined);
  if (mapped.length < 2) {
    context.findings.problem(path, `the field ${name} is mapped in ${mapped.length} system, so it can never match`);
  }
}

export function compileConflict(context: RuleContext): ConflictPlan {
  const { conflict } = context.entity;
  const path = [...context.path, 'conflict'];
  const base = compileRule(context, conflict, null, path);
  const groups: Record<string, ConflictRule> = {};
  for (const [name, rule] of Object.entries(conflict.fields)) {
    const rulePath = [...path, 'fields', name];
    checkGroup(context, name, rulePath);
    groups[name] = compileRule(context, rule, base, rulePath);
  }
  return { ...base, groups, first: conflict.first };
}

function checkGroup(context: RuleContext, name: string, path: Path): void {
  const groups = [...new Set(context.fields.map((field) => field.group))];
  if (groups.includes(name)) return;
  const field = context.fields.find((candidate) => candidate.name === name);
  if (field === undefined)
    context.findings.problem(path, `there is no field or group ${name}`, didYouMean(name, groups));
  else
    context.findings.problem(
      path,
      `the field ${name} belongs to the group ${field.group}`,
      'Give the rule to the group.',
    );
}

function compileRule(
  context: RuleContext,
  rule: RuleConfiguration,
  base: ConflictRule | null,
  path: Path,
): ConflictRule {
  const { lead } = rule;
  const systems = Object.keys(context.entity.systems);
  if (lead !== undefined && !systems.includes(lead)) {
    context.findings.problem([...path, 'lead'], `the entity has no system ${lead}`, didYouMean(lead, systems));
  }
  return {
    policy: rule.policy ?? (lead === undefined ? (base?.policy ?? 'leading') : 'leading'),
    lead: lead ?? base?.lead ?? null,
    withinMicros: rule.within === undefined ? (base?.withinMicros ?? DEFAULT_WITHIN_MS * 1000) : rule.within * 1000,
    otherwise: rule.otherwise ?? base?.otherwise ?? 'leading',
  };
}
