import { DuologError } from '../errors/duolog-error.js';

// The package's inner modules are untyped CommonJS; what we put in and take out is typed where it is made and used.
// oxlint-disable-next-line typescript/no-explicit-any
export type Untyped = any;

/** Marks a module as ours, so that a second loading in one process (tests do that) changes nothing. */
const OURS = Symbol.for('duolog.kafkajs');

/** @throws DuologError KAFKA_CLIENT_VERSION unless this very version of kafkajs is installed. */
export function requireKafkajsVersion(require: NodeJS.Require, expected: string): void {
  const { version } = require('kafkajs/package.json') as { version: string };
  if (version !== expected) {
    throw new DuologError('KAFKA_CLIENT_VERSION', `kafkajs ${version} is installed, ${expected} is needed`);
  }
}

/** Replaces what a module of kafkajs exports, for every module that loads it from now on. */
export function replaceModule(
  require: NodeJS.Require,
  name: string,
  make: (original: Untyped, require: NodeJS.Require) => unknown,
): void {
  patchModule(require, name, (original, module) => {
    module.exports = make(original, require);
  });
}

/** Changes a module of kafkajs once. @throws DuologError INTERNAL when the package is in use already. */
export function patchModule(
  require: NodeJS.Require,
  name: string,
  apply: (exports: Untyped, module: NodeJS.Module, require: NodeJS.Require) => void,
): void {
  const path = require.resolve(`kafkajs/src/${name}`);
  const exports = require(path) as unknown;
  const module = require.cache[path];
  if (module === undefined) throw new DuologError('INTERNAL', `${path} was not loaded`);
  if (OURS in module) return;
  if (require.cache[require.resolve('kafkajs/src/index')] !== undefined) {
    throw new DuologError('INTERNAL', 'kafkajs was loaded before its corrections');
  }
  apply(exports, module, require);
  Object.assign(module, { [OURS]: true });
}
