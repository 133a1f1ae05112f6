// Builds the package that is published from libs/quota: JavaScript, declarations, Lua.
import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';

const library = 'libs/quota';
rmSync(`${library}/dist`, { recursive: true, force: true });
execFileSync('npx', ['tsc', '-p', `${library}/tsconfig.lib.json`], { stdio: 'inherit' });
cpSync(`${library}/src/adapters/redis/scripts`, `${library}/dist/adapters/redis/scripts`, {
  recursive: true,
});
