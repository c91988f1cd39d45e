// Sees to it that nothing outlives the process that started it, not even a kill -9 of that process.
//
// Plain JavaScript, so that it runs from a checkout and from a build alike. It gets lines on its standard input,
// whose end means that the starter is gone, however it went:
//
//   process PID SIGNAL   end this process with SIGNAL (SIGKILL follows if it does not obey)
//   forget PID           it has ended by itself
//   folder PATH          remove this folder last
//   keep PATH            it has been removed already
import { rmSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

const processes = new Map();
const folders = new Set();

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const [verb, first, ...rest] = line.split(' ');
  const path = [first, ...rest].join(' ');
  if (verb === 'process') processes.set(Number(first), rest[0]);
  if (verb === 'forget') processes.delete(Number(first));
  if (verb === 'folder') folders.add(path);
  if (verb === 'keep') folders.delete(path);
});

function send(pid, signal) {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

async function endProcesses() {
  for (const [pid, signal] of processes) send(pid, signal);
  for (let waited = 0; waited < 3000 && [...processes.keys()].some((pid) => send(pid, 0)); waited += 20)
    await delay(20);
  for (const pid of processes.keys()) send(pid, 'SIGKILL');
}

async function removeFolders() {
  for (let attempt = 0; attempt < 600 && folders.size > 0; attempt += 1) {
    for (const folder of folders) {
      try {
        rmSync(folder, { recursive: true, force: true });
        folders.delete(folder);
      } catch {
        // A process that is just ending still writes there: once more.
      }
    }
    if (folders.size > 0) await delay(100);
  }
}

lines.on('close', async () => {
  await endProcesses();
  await removeFolders();
  process.exit(0);
});
// A Ctrl-C in the terminal is for the starter; this process only goes after it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
