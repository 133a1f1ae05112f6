// PGlite as it is, but a database in memory begins with a copy of one that was made before: making it
// takes two seconds of a processor, and suites make many. Those in a folder are made as ever.
const { Blob, Buffer } = require('node:buffer');
const { existsSync } = require('node:fs');
const { mkdtemp, readFile, rename, rm, writeFile } = require('node:fs/promises');
const { tmpdir } = require('node:os');
const { join } = require('node:path');
// By its path: its name leads here.
const itself = require('../../node_modules/@electric-sql/pglite/dist/index.cjs');
const { version } = require('../../node_modules/@electric-sql/pglite/package.json');

const IN_MEMORY = 'memory://';
const TEMPLATE = join(tmpdir(), `quota-pglite-${version}.tar`);

/** The files of a new database, made once for each version. */
async function template() {
  if (!existsSync(TEMPLATE)) {
    const db = await itself.PGlite.create(IN_MEMORY);
    await db.exec('CHECKPOINT');
    const files = await db.dumpDataDir('none');
    await db.close();
    const draft = await mkdtemp(`${TEMPLATE}-`);
    await writeFile(join(draft, 'tar'), Buffer.from(await files.arrayBuffer()));
    // One rename, so that suites running side by side never see half a file.
    await rename(join(draft, 'tar'), TEMPLATE);
    await rm(draft, { recursive: true });
  }
  return new Blob([await readFile(TEMPLATE)], { type: 'application/x-tar' });
}

class PGlite extends itself.PGlite {
  static async create(dataDir) {
    if (dataDir !== IN_MEMORY) return itself.PGlite.create(dataDir);
    return itself.PGlite.create({ dataDir, loadDataDir: await template() });
  }
}

module.exports = { ...itself, PGlite };
