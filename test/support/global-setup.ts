import type { TestProject } from 'vitest/node';
import { StackServer } from './stack-server.js';

declare module 'vitest' {
  interface ProvidedContext {
    stackServer: string;
  }
}

/** Several vitest projects share one set of servers; each loads this file anew, hence the place outside of it. */
interface Shared {
  users: number;
  server: StackServer;
  url: Promise<string>;
}
const place = globalThis as typeof globalThis & { duologStack?: Shared | undefined };

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  if (place.duologStack === undefined) {
    const server = new StackServer();
    place.duologStack = { users: 0, server, url: server.listen() };
  }
  const shared = place.duologStack;
  shared.users += 1;
  project.provide('stackServer', await shared.url);
  return async () => {
    shared.users -= 1;
    if (shared.users > 0) return;
    place.duologStack = undefined;
    await shared.server.close();
  };
}
