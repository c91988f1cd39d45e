import { expect, it } from 'vitest';
import { withFreePorts } from '../../deploy/dev/process.js';

it.each([
  'listen EADDRINUSE: address already in use 127.0.0.1:40443',
  'could not bind IPv4 address "127.0.0.1": Address already in use',
  'org.apache.kafka.common.KafkaException: Socket server failed to bind to 127.0.0.1:40443: java.net.BindException',
  'ERROR <> [io.quarkus.runtime.ApplicationLifecycleManager] (main) Port 40443 seems to be in use by another process.',
])('a server whose port was taken meanwhile is started on another: %s', async (message) => {
  const tried: number[] = [];
  const started = await withFreePorts(1, async ([port]) => {
    tried.push(port!);
    if (tried.length === 1) throw new Error(`It ended with 1:\n${message}`);
    return port;
  });
  expect(tried).toHaveLength(2);
  expect(started).toBe(tried[1]);
});

it('any other failure is told at once', async () => {
  let starts = 0;
  const failing = withFreePorts(1, async () => {
    starts += 1;
    throw new Error('No such jar');
  });
  await expect(failing).rejects.toThrow('No such jar');
  expect(starts).toBe(1);
});
