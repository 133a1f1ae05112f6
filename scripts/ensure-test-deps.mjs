// Runs before the tests: they talk to a real redis-server and a real Prometheus, whose promtool also
// tests the rules. (PostgreSQL comes with npm.)
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const NEEDED = [
  {
    programs: [{ name: 'redis-server', variable: 'REDIS_SERVER_BIN' }],
    debian: 'redis-server',
    brew: 'redis',
  },
  {
    programs: [
      { name: 'prometheus', variable: 'PROMETHEUS_BIN' },
      { name: 'promtool', variable: 'PROMTOOL_BIN' },
    ],
    debian: 'prometheus',
    brew: 'prometheus',
  },
];

const apt = (name) => `set -e
# Only the program is wanted: without this Debian would start a server on the default port.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod +x "$policy"
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -q -y -o Dpkg::Use-Pty=0 --no-install-recommends ${name}
systemctl disable ${name} >/dev/null 2>&1 || true`;

function runs(command, ...args) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** Null: it runs; else the first program of it that does not. */
function missing({ programs }) {
  const bin = ({ name, variable }) => process.env[variable] ?? name;
  return programs.find((program) => !runs(bin(program), '--version')) ?? null;
}

function fail({ debian, brew }, { name, variable }, reason) {
  console.error(
    `The tests need ${name}, and ${reason}.\n` +
      `Install it (Debian/Ubuntu: "sudo apt-get install ${debian}", macOS: "brew install ${brew}") ` +
      `or set ${variable} to its path.`,
  );
  process.exit(1);
}

function installer({ debian, brew }) {
  if (existsSync('/usr/bin/apt-get')) {
    if (process.getuid?.() === 0) {
      return ['sh', '-c', apt(debian)];
    }
    if (runs('sudo', '-n', 'true')) {
      return ['sudo', '-n', 'sh', '-c', apt(debian)];
    }
  }
  if (process.platform === 'darwin' && runs('brew', '--version')) {
    return ['brew', 'install', brew];
  }
  return undefined;
}

for (const needed of NEEDED) {
  const program = missing(needed);
  if (program === null) {
    continue;
  }
  const { [program.variable]: own } = process.env;
  if (own) {
    fail(needed, program, `${program.variable}=${own} does not run`);
  }
  const install = installer(needed);
  if (!install) {
    fail(needed, program, 'it is not installed and cannot be installed from here');
  }
  console.log(`${program.name} is missing: installing it`);
  try {
    execFileSync(install[0], install.slice(1), { stdio: ['ignore', 'inherit', 'inherit'] });
  } catch {
    fail(needed, program, 'its installation failed (see above)');
  }
  if (missing(needed) !== null) {
    fail(needed, program, 'it is still not on the PATH after its installation');
  }
}
