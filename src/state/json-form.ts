/** Text form of plain data whose numbers may be bigints: JSON with `{"$int": "…"}` for those. */
export function toJsonForm(data: unknown): string {
  return JSON.stringify(data, (_name, value: unknown) => (typeof value === 'bigint' ? { $int: String(value) } : value));
}

export function fromJsonForm(text: string): unknown {
  return JSON.parse(text, (_name, value: unknown): unknown =>
    typeof value === 'object' && value !== null && '$int' in value ? BigInt(value.$int as string) : value,
  );
}
