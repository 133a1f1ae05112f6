#!/usr/bin/env node
import { run } from './program';

/** Not `process.exit`: what was written to a pipe has to get there first. */
void run(process.argv.slice(2), {
  env: process.env,
  out: process.stdout,
  err: process.stderr,
}).then((code) => {
  process.exitCode = code;
});
