// The first thing that runs on a fresh machine: plain JavaScript without dependencies. It says what is missing before
// anything is downloaded, installs the packages where node_modules is missing or stale, compiles, and fetches the jars.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const needed = { node: [20, 19], java: [17], maven: [3, 6, 3] };

/** Ends the process with a message for a person. */
export function stop(message) {
  console.error(`\n${message}\n`);
  process.exit(1);
}

/** Runs a command with our own output; ends the process with its code if it fails. */
export function run(command, args, options = {}) {
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (error) stop(`${command} cannot be run: ${error.message}`);
  if (signal) process.exit(130);
  if (status !== 0) process.exit(status ?? 1);
}

/** Checks the machine, installs what is missing, compiles. `servers`: Kafka and the registry will be started here. */
export function prepare({ servers }) {
  checkNode();
  if (servers) {
    checkJava();
    checkMaven();
  }
  installPackages();
  run(process.execPath, [join(root, 'scripts', 'build.mjs')]);
  if (servers) run(process.execPath, [join(root, 'dist', 'deploy', 'dev', 'download.js')]);
}

function isAtLeast(version, minimum) {
  for (let index = 0; index < minimum.length; index += 1) {
    const part = version[index] ?? 0;
    if (part !== minimum[index]) return part > minimum[index];
  }
  return true;
}

function numbers(text) {
  return text.split(/[._-]/).map(Number).filter(Number.isFinite);
}

export function checkNode() {
  if (isAtLeast(numbers(process.versions.node), needed.node)) return;
  stop(
    `Node.js ${needed.node.join('.')} or newer is needed; this is ${process.versions.node}.\n` +
      'Install a current one from https://nodejs.org or with your package manager.',
  );
}

/** The version that a command tells about itself, or null where there is no such command. */
function versionOf(command, args, pattern) {
  const { error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (error) return null;
  const found = pattern.exec(`${stdout}\n${stderr}`);
  return found ? found[1] : '0';
}

function checkTool(name, version, minimum, install) {
  if (version !== null && isAtLeast(numbers(version), minimum)) return;
  const found = version === null ? 'none was found' : `this is ${version}`;
  stop(`${name} ${minimum.join('.')} or newer is needed to run Kafka here; ${found}.\n${install}`);
}

function checkJava() {
  const command = process.env.JAVA_HOME ? join(process.env.JAVA_HOME, 'bin', 'java') : 'java';
  checkTool(
    'Java',
    versionOf(command, ['-version'], /version "(?:1\.)?([\d._]+)/),
    needed.java,
    'Debian, Ubuntu: apt-get install openjdk-17-jre-headless - Fedora: dnf install java-17-openjdk-headless - ' +
      'macOS: brew install openjdk@17. JAVA_HOME is used where it is set.',
  );
}

function checkMaven() {
  checkTool(
    'Maven',
    versionOf('mvn', ['-v', '-B'], /Apache Maven ([\d.]+)/),
    needed.maven,
    'Debian, Ubuntu: apt-get install maven - Fedora: dnf install maven - macOS: brew install maven.',
  );
}

export function installPackages() {
  const reason = staleReason();
  if (reason === null) return;
  console.log(`Installing the packages (${reason}) …`);
  run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], {
    shell: process.platform === 'win32',
  });
}

/** Why node_modules does not hold what package-lock.json names, or null. Optional packages are npm's own choice. */
function staleReason() {
  const installedFile = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return 'none are there yet';
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  for (const [path, { version, optional, devOptional, peer }] of Object.entries(wanted)) {
    if (path === '' || optional || devOptional || peer) continue;
    if (installed[path]?.version !== version) return `${path} is not ${version}`;
  }
  return null;
}
