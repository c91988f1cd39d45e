import { connect } from 'node:net';
import { Registry, Gauge } from 'prom-client';
import { afterEach, describe, expect, it } from 'vitest';
import { startApi, type Api, type ApiSources } from '../../src/api/server.js';

let api: Api | null = null;
afterEach(async () => {
  await api?.close();
  api = null;
});

function sources(more: Partial<ApiSources> = {}): ApiSources {
  const metrics = new Registry();
  new Gauge({ name: 'duolog_lag_seconds', help: 'Lag.', registers: [metrics] }).set(1.5);
  return {
    metrics,
    healthy: () => true,
    readiness: () => ({ ready: true, waitingFor: [] }),
    status: () => ({ tasks: [] }),
    ...more,
  };
}

async function start(more: Partial<ApiSources> = {}): Promise<string> {
  api = await startApi({ host: '127.0.0.1', port: 0 }, sources(more));
  return api.url;
}

describe('the API', () => {
  it('serves metrics in the format of Prometheus', async () => {
    const answer = await fetch(`${await start()}/metrics`);
    expect(answer.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    expect(await answer.text()).toContain('duolog_lag_seconds 1.5');
  });

  it('says whether the process is healthy and ready', async () => {
    const url = await start({ healthy: () => false, readiness: () => ({ ready: false, waitingFor: ['source crm'] }) });
    expect((await fetch(`${url}/healthz`)).status).toBe(503);
    const ready = await fetch(`${url}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toEqual({ ready: false, waitingFor: ['source crm'] });
  });

  it('serves the status and nothing else', async () => {
    const url = await start();
    expect(await (await fetch(`${url}/status`)).json()).toEqual({ tasks: [] });
    expect((await fetch(`${url}/other`)).status).toBe(404);
    expect((await fetch(`${url}/status`, { method: 'POST', body: 'x'.repeat(5000) })).status).toBeGreaterThan(400);
  });

  it('does not wait for open connections when it closes', async () => {
    const url = new URL(await start());
    const socket = connect(Number(url.port), url.hostname);
    await new Promise((resolve) => socket.once('connect', resolve));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => undefined);
    await api?.close();
    await expect(closed).resolves.toBeDefined();
  });

  it('names a port that is taken', async () => {
    const port = Number(new URL(await start()).port);
    await expect(startApi({ host: '127.0.0.1', port }, sources())).rejects.toMatchObject({ code: 'API_PORT_TAKEN' });
  });
});
