import { columnConverter, conversionProblem, Inconvertible } from '../mapping/convert.js';
import type { ColumnType } from '../model/table.js';
import type { Value } from '../model/value.js';
import type { ColumnPlan, FieldType } from './plan.js';

/** A constant as YAML gives it. */
export type Constant = string | number | boolean | null;

/** A constant of the configuration in a column's own form, or the reason why the column cannot hold it. */
export function columnConstant(columnType: ColumnType, constant: Constant): Value | Inconvertible {
  if (constant === null) return null;
  return columnConverter(textual(columnType, { kind: 'string' })).toColumn(String(constant));
}

/** A constant of the configuration in a field's own form, or the reason why the field cannot hold it. */
export function fieldConstant(fieldType: FieldType, constant: Constant): Value | Inconvertible {
  if (constant === null) return null;
  const plan = textual({ kind: 'text', maxLength: null }, fieldType);
  const problem = conversionProblem(plan);
  return problem === null ? columnConverter(plan).toField(String(constant)) : new Inconvertible(problem);
}

function textual(columnType: ColumnType, fieldType: FieldType): ColumnPlan {
  return {
    field: '',
    column: '',
    columnType,
    fieldType,
    read: true,
    write: true,
    values: null,
    otherwise: 'hold',
    tooLong: 'hold',
  };
}
