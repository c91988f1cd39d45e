import { decide } from '../../src/decision/decide.js';
import type { AnswerEvent, ChangeEvent, EndSeen, OutcomeSeen, StreamEvent } from '../../src/decision/events.js';
import type { CommandOutput, Output } from '../../src/decision/outputs.js';
import { hasCursors, initialState, type LinkRecord } from '../../src/decision/state.js';
import type { Command, Outcome } from '../../src/connector/contract.js';
import type { ColumnType } from '../../src/model/table.js';
import type { Row } from '../../src/model/value.js';
import type {
  ColumnPlan,
  ConflictPlan,
  EntityPlan,
  EntitySystemPlan,
  FieldPlan,
  FieldType,
  MatchRule,
  SyncPlan,
} from '../../src/plan/plan.js';
import { MemoryState } from './memory-state.js';

// ---------------------------------------------------------------- plans

const TEXT: ColumnType = { kind: 'text', maxLength: null };

export interface SystemOptions {
  /** Field to column; the column's name is the field's with the system in front where left out. */
  readonly columns?: Readonly<Record<string, Partial<ColumnPlan>>>;
  readonly captured?: boolean;
  readonly written?: boolean;
  readonly delete?: EntitySystemPlan['delete'];
  readonly softDelete?: boolean;
  readonly insertSet?: Row;
  readonly updatedColumn?: string;
  readonly generatesKey?: boolean;
  readonly key?: readonly string[];
  /** Fields without a column here. */
  readonly without?: readonly string[];
  /** Extra properties of columns by name. */
  readonly shape?: Readonly<Record<string, { readonly nullable?: boolean; readonly hasDefault?: boolean }>>;
}

export interface EntityOptions {
  /** Field to type; `string` where only a name is given. */
  readonly fields: Readonly<Record<string, FieldType | 'string'>>;
  readonly groups?: Readonly<Record<string, readonly string[]>>;
  readonly match?: readonly (readonly string[] | MatchRule)[];
  readonly conflict?: Partial<ConflictPlan>;
  readonly systems: Readonly<Record<string, SystemOptions>>;
}

export interface PlanOptions {
  readonly leading?: readonly string[];
  readonly entities: Readonly<Record<string, EntityOptions>>;
  readonly observe?: boolean;
}

/** A small plan: columns are named `<system>_<field>`, keys `id`, everything read and written unless said otherwise. */
export function planOf(options: PlanOptions): SyncPlan {
  const systems = [...new Set(Object.values(options.entities).flatMap((entity) => Object.keys(entity.systems)))];
  const entities = Object.entries(options.entities).map(([name, entity]) => entityPlan(name, entity, options));
  return {
    name: 'sync',
    prefix: 'test',
    leading: options.leading ?? systems,
    systems,
    entities,
    fingerprint: 'fingerprint',
    fingerprintParts: {},
    ...(options.observe === undefined ? {} : { observe: options.observe }),
  };
}

function entityPlan(name: string, entity: EntityOptions, options: PlanOptions): EntityPlan {
  const fields = Object.entries(entity.fields).map(([field, type]): FieldPlan => {
    const group = Object.entries(entity.groups ?? {}).find(([, members]) => members.includes(field))?.[0] ?? field;
    return { name: field, type: type === 'string' ? { kind: 'string' } : type, nullable: true, group };
  });
  return {
    name,
    fields,
    match: (entity.match ?? []).map((rule): MatchRule => {
      if ('on' in rule) return rule;
      return { name: rule.join('+'), on: rule, normalise: ['case', 'spaces'] };
    }),
    conflict: {
      policy: 'leading',
      lead: null,
      withinMicros: 0,
      otherwise: 'leading',
      groups: {},
      first: 'leading',
      ...entity.conflict,
    },
    systems: Object.fromEntries(
      Object.entries(entity.systems).map(([system, one]) => [system, systemPlan(name, system, fields, one)]),
    ),
    children: Object.entries(options.entities).flatMap(([child, { fields: childFields }]) =>
      Object.entries(childFields).flatMap(([field, type]) =>
        type !== 'string' && type.kind === 'reference' && type.entity === name ? [{ entity: child, field }] : [],
      ),
    ),
  };
}

function systemPlan(
  entity: string,
  system: string,
  fields: readonly FieldPlan[],
  options: SystemOptions,
): EntitySystemPlan {
  const columns = fields
    .filter(({ name }) => options.without?.includes(name) !== true)
    .map(
      ({ name, type }): ColumnPlan => ({
        field: name,
        column: `${system}_${name}`,
        columnType: TEXT,
        fieldType: type,
        read: true,
        write: true,
        values: null,
        otherwise: 'hold',
        tooLong: 'hold',
        ...options.columns?.[name],
      }),
    );
  const softDelete = options.softDelete === true ? { column: 'gone', deleted: 1, present: 0 } : null;
  const key = options.key ?? ['id'];
  const names = new Set([...key, ...columns.map(({ column }) => column), ...(softDelete === null ? [] : ['gone'])]);
  return {
    entity,
    system,
    table: `${system}.${entity}`,
    shape: {
      system,
      entity,
      table: `${system}.${entity}`,
      columns: [...names].map((name) => ({
        name,
        type: TEXT,
        nativeType: 'text',
        nullable: true,
        hasDefault: false,
        generated: false,
        comment: null,
        ...options.shape?.[name],
      })),
      key,
      comment: null,
    },
    captured: options.captured ?? true,
    written: options.written ?? true,
    columns,
    insertSet: options.insertSet ?? {},
    delete: options.delete ?? 'hard',
    softDelete,
    updatedColumn: options.updatedColumn ?? null,
    generatesKey: options.generatesKey ?? true,
  };
}

// ---------------------------------------------------------------- a conversation with the decision

/** Tells the decision events one by one, in short words, and keeps what it says. */
export class Conversation {
  readonly state = new MemoryState();
  readonly outputs: Output[] = [];
  /** Commands without an outcome, oldest first. */
  readonly commands: CommandOutput[] = [];
  timeMicros = 1_700_000_000_000_000;
  private position = 0;
  private keys = 1000;

  constructor(public plan: SyncPlan) {
    initialState(this.state, { ...plan, birth: 'b' });
  }

  tell(event: StreamEvent | AnswerEvent): Output[] {
    const outputs = [...decide(this.state, event, this.plan)];
    while (hasCursors(this.state)) outputs.push(...decide(this.state, { kind: 'continue' }, this.plan));
    this.outputs.push(...outputs);
    for (const output of outputs) if (output.kind === 'command') this.commands.push(output);
    return outputs;
  }

  /** Every snapshot has been read and had nothing. */
  begin(): this {
    for (const entity of this.plan.entities) {
      for (const { system, captured } of Object.values(entity.systems)) {
        if (captured) this.snapshot(system, entity.name, []);
      }
    }
    return this;
  }

  snapshot(system: string, entity: string, rows: readonly Row[]): Output[] {
    const outputs = this.end(system, entity, 'snapshot-begin');
    for (const row of rows) outputs.push(...this.read(system, entity, row));
    return [...outputs, ...this.end(system, entity, 'snapshot')];
  }

  read(system: string, entity: string, row: Row): Output[] {
    return this.tell({ ...this.change(system, entity, 'read', null, row), commitTimeMicros: null });
  }

  insert(system: string, entity: string, row: Row, more: Partial<ChangeEvent> = {}): Output[] {
    return this.tell({ ...this.change(system, entity, 'insert', null, row), ...more });
  }

  update(system: string, entity: string, before: Row | null, after: Row, more: Partial<ChangeEvent> = {}): Output[] {
    return this.tell({ ...this.change(system, entity, 'update', before, after), ...more });
  }

  /** A deletion, and the end of its transaction unless it is told later. */
  delete(
    system: string,
    entity: string,
    row: Row,
    more: Partial<ChangeEvent> & { readonly open?: true } = {},
  ): Output[] {
    const { open, ...rest } = more;
    const event = { ...this.change(system, entity, 'delete', row, null), ...rest };
    const outputs = this.tell(event);
    return open ? outputs : [...outputs, ...this.end(system, entity, 'transaction', event.transaction)];
  }

  end(system: string, entity: string, end: EndSeen['end'], transaction = `t${this.position}`): Output[] {
    const position = this.next();
    return this.tell({ kind: 'end', system, entity, end, commitTimeMicros: this.timeMicros, transaction, position });
  }

  heartbeat(timeMicros: number): Output[] {
    this.timeMicros = timeMicros;
    return this.tell({ kind: 'heartbeat', system: this.plan.systems[0]!, timeMicros });
  }

  /** The oldest command that waits for an outcome. */
  command(system?: string): Command {
    const found = this.commands.find((one) => system === undefined || one.system === system);
    if (found === undefined) throw new Error(`no command ${system ?? ''} in flight`);
    return found.command;
  }

  /** The oldest command is applied as it stands; `row` is what its row shows afterwards beside the values written. */
  apply(system?: string, row: Row = {}): Output[] {
    const { system: target, command } = this.take(system);
    const origin = { sync: this.plan.name, command: command.id, link: command.link };
    const key = command.key ?? String(row['id'] ?? this.keys++);
    if (command.operation === 'delete') {
      return this.tell({ ...this.change(target, command.entity, 'delete', null, null, key), origin });
    }
    const seen = this.seen(target, command.entity, key);
    const after = { id: key, ...seen, ...command.set, ...row };
    return this.tell({ ...this.change(target, command.entity, command.operation, null, after), origin });
  }

  refuse(system?: string, met: Row | null = null, key: string | null = null): Output[] {
    const { system: target, command } = this.take(system);
    return this.outcome(target, command, {
      status: 'refused',
      key: key ?? command.key,
      met,
      reason: 'met another row',
    });
  }

  fail(system?: string, more: Partial<Outcome & { readonly status: 'failed' }> = {}): Output[] {
    const { system: target, command } = this.take(system);
    return this.outcome(target, command, {
      status: 'failed',
      key: command.key,
      code: '23514',
      message: 'check failed',
      constraint: 'a_check',
      column: null,
      blockingKey: null,
      ...more,
    });
  }

  /** Applies every command, those that follow too. */
  settle(): this {
    for (let rounds = 0; this.commands.length > 0; rounds++) {
      if (rounds > 1000) throw new Error('commands without end');
      this.apply();
    }
    return this;
  }

  outcome(
    system: string,
    command: Command,
    outcome: DistributiveOmit<Outcome, 'command' | 'link' | 'entity'>,
  ): Output[] {
    const event: OutcomeSeen = {
      kind: 'outcome',
      system,
      entity: command.entity,
      outcome: { command: command.id, link: command.link, entity: command.entity, ...outcome },
      commitTimeMicros: this.timeMicros,
      transaction: `t${this.position}`,
      position: this.next(),
    };
    return this.tell(event);
  }

  link(system: string, entity: string, key: string): LinkRecord {
    const found = this.state.links().find((link) => link.entity === entity && link.members[system]?.key === key);
    if (found === undefined) throw new Error(`no link of ${system} ${entity} ${key}`);
    return found;
  }

  seen(system: string, entity: string, key: string): Row | null {
    const links = this.state.links();
    return (
      links.find((link) => link.entity === entity && link.members[system]?.key === key)?.members[system]!.seen ?? null
    );
  }

  take(system?: string): CommandOutput {
    const at = this.commands.findIndex((one) => system === undefined || one.system === system);
    if (at < 0) throw new Error(`no command ${system ?? ''} in flight`);
    return this.commands.splice(at, 1)[0]!;
  }

  private change(
    system: string,
    entity: string,
    operation: ChangeEvent['operation'],
    before: Row | null,
    after: Row | null,
    key: string = String((after ?? before)?.['id']),
  ): ChangeEvent {
    this.timeMicros += 1_000_000;
    const position = this.next();
    return {
      kind: 'change',
      system,
      entity,
      key,
      operation,
      keyChange: null,
      before,
      after,
      unchanged: [],
      commitTimeMicros: this.timeMicros,
      transaction: `t${position}`,
      position,
      origin: null,
    };
  }

  private next(): string {
    return String(++this.position).padStart(8, '0');
  }
}

type DistributiveOmit<T, K extends string> = T extends unknown ? Omit<T, K> : never;
