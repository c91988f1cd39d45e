import { columns, partName } from './contact-table.js';
import type { Path } from './figures.js';

/** What of Duolog is measured. */
export interface DuologCase {
  readonly path: Path;
  /** 1, or a process a role. */
  readonly processes: 1 | 3;
  /** One-way only: whether the target's own changes are captured, and put right. */
  readonly captured: boolean;
  /** The table is in so many parts, each with a sync of its own. */
  readonly syncs?: number;
}

const types: Readonly<Record<(typeof columns)[number], string>> = {
  id: 'integer',
  first_name: 'string',
  last_name: 'string',
  email: 'string',
  phone: 'string?',
  city: 'string?',
  country: 'string?',
  notes: 'string?',
  balance: 'decimal(12,2)?',
  updated: 'timestamp',
};

/** The configuration of a measurement: contacts, found on the other side by their number, deleted where they are deleted. */
export function configuration(wanted: DuologCase): string {
  const { syncs = 1 } = wanted;
  const parts = Array.from({ length: syncs }, (_, index) => partName(index + 1));
  return `
prefix: bench
kafka:
  brokers: \${KAFKA_BROKERS}
  schemaRegistry: \${SCHEMA_REGISTRY_URL}
  replicationFactor: 1
  minInsyncReplicas: 1
systems:
  source: { connector: postgres, url: "\${SOURCE_URL}" }
  target: { connector: postgres, url: "\${TARGET_URL}" }
state:
  folder: \${STATE_FOLDER}
http:
  port: \${HTTP_PORT}
log: { format: json }
syncs:
${syncs === 1 ? sync('contacts', 'contact', wanted) : parts.map((part) => sync(`all_${part}`, part, wanted)).join('')}`;
}

/** Entity and table have the same name. */
function sync(name: string, entity: string, { path, captured }: DuologCase): string {
  const twoWay = path === 'two-way';
  const map = `{ ${columns.map((column) => `${column}: ${column}`).join(', ')} }`;
  const target = twoWay ? '' : captured ? 'read: false, ' : 'capture: false, ';
  return `  ${name}:
    leading: [source, target]
    entities:
      ${entity}:
        fields: { ${columns.map((column) => `${column}: "${types[column]}"`).join(', ')} }
        match: [{ on: [id], normalise: [] }]
        delete: ${twoWay ? 'hard' : '{ target: hard }'}
        systems:
          source: { table: public.${entity}, ${twoWay ? '' : 'write: false, '}map: ${map} }
          target: { table: public.${entity}, ${target}map: ${map} }
`;
}
