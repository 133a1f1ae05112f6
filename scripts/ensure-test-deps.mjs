// Runs before the tests: they talk to a real redis-server. (PostgreSQL comes with npm.)
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const APT = `set -e
# Only the program is wanted: without this Debian would start a Redis on the default port.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod +x "$policy"
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y -o Dpkg::Use-Pty=0 --no-install-recommends redis-server
systemctl disable redis-server >/dev/null 2>&1 || true`;

const bin = process.env.REDIS_SERVER_BIN ?? 'redis-server';

function runs(command, ...args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function fail(reason) {
  console.error(
    `The tests need redis-server, and ${reason}.\n` +
      'Install it (Debian/Ubuntu: "sudo apt-get install redis-server", macOS: "brew install redis") ' +
      'or set REDIS_SERVER_BIN to its path.',
  );
  process.exit(1);
}

function installer() {
  if (existsSync('/usr/bin/apt-get')) {
    if (process.getuid?.() === 0) {
      return ['sh', '-c', APT];
    }
    if (runs('sudo', '-n', 'true')) {
      return ['sudo', '-n', 'sh', '-c', APT];
    }
  }
  if (process.platform === 'darwin' && runs('brew', '--version')) {
    return ['brew', 'install', 'redis'];
  }
  return undefined;
}

if (!runs(bin, '--version')) {
  if (process.env.REDIS_SERVER_BIN) {
    fail(`REDIS_SERVER_BIN=${bin} does not run`);
  }
  const install = installer();
  if (!install) {
    fail('it is not installed and cannot be installed from here');
  }
  console.log('redis-server is missing: installing it');
  try {
    execFileSync(install[0], install.slice(1), { stdio: ['ignore', 'inherit', 'inherit'] });
  } catch {
    fail('its installation failed (see above)');
  }
  if (!runs(bin, '--version')) {
    fail('it is still not on the PATH after its installation');
  }
}
