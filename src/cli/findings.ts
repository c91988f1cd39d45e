import type { Finding } from '../connector/contract.js';
import type { Output, Paint } from './output.js';

/** A finding and where it was made: `crm`, `kafka`, `schema registry`, `configuration`. */
export interface PlacedFinding extends Finding {
  readonly place: string;
}

export function countFindings(findings: readonly PlacedFinding[]): Readonly<Record<Finding['severity'], number>> {
  const count = (severity: Finding['severity']): number =>
    findings.filter((finding) => finding.severity === severity).length;
  return { error: count('error'), warning: count('warning'), ok: count('ok') };
}

const SIGNS = { ok: ['green', '✓'], warning: ['yellow', '!'], error: ['red', '✗'] } as const;

/** One line a finding, with the statement that would mend it below, grouped by place. */
export function printFindings(findings: readonly PlacedFinding[], output: Output): void {
  for (const place of new Set(findings.map((finding) => finding.place))) {
    output.line(output.paint('bold', place));
    for (const finding of findings) if (finding.place === place) output.line(findingText(finding, output.paint));
  }
}

function findingText(finding: PlacedFinding, paint: Paint): string {
  const [colour, sign] = SIGNS[finding.severity];
  const statement = finding.statement === null ? '' : `\n${indent(finding.statement, '      ')}`;
  return `  ${paint(colour, sign)} ${finding.check}: ${finding.message}${statement}`;
}

function indent(text: string, by: string): string {
  return text
    .split('\n')
    .map((line) => by + line)
    .join('\n');
}
