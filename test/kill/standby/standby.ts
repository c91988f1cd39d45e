export async function runStandby(links: number, out: string): Promise<number> {
  void links;
  void out;
  return 0;
}
