#!/usr/bin/env node
import { runCommandLine } from './program.js';

// Connections that linger after their orderly end must not keep the process.
process.exit(await runCommandLine(process.argv.slice(2)));
