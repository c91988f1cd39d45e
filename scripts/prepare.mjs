// Makes a fresh checkout ready: checks the tools, installs the packages, compiles, downloads the jars.
import { prepare } from './bootstrap.mjs';

prepare({ servers: true });
