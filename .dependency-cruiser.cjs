const LIB = '^libs/quota/src';
const SPEC = '\\.spec\\.ts$';

/** The npm packages named, however they are hoisted, and their type packages. */
const npm = (...names) => `node_modules/(@types/)?(${names.join('|')})/`;

/**
 * A part of the library may reach what is named and Node's own modules, nothing else. Type-only
 * imports count as well: a port that names a driver's type depends on the driver.
 */
const only = (name, from, allowed, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: `${LIB}/${from}`, pathNot: SPEC },
  to: { pathNot: [`${LIB}/${from}`, ...allowed], dependencyTypesNot: ['core'] },
});

const CORE = `${LIB}/core/`;
const COMPOSITION_ROOT = `${LIB}/nest/(bank|providers|stores|quota\\.module)\\.ts$`;

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    only(
      'core-is-plain',
      'core/',
      [npm('csv-stringify', 'lru-cache', 'sorted-btree', 'zod')],
      'The core knows no framework and no driver.',
    ),
    only(
      'redis-adapter',
      'adapters/redis/',
      [CORE, npm('ioredis', 'zod')],
      'An adapter knows the core and its own driver.',
    ),
    only(
      'postgres-adapter',
      'adapters/postgres/',
      [CORE, npm('typeorm', 'pg', 'zod')],
      'An adapter knows the core and its own driver.',
    ),
    only(
      'memory-adapter',
      'adapters/memory/',
      [CORE, npm('sorted-btree')],
      'The adapter in process has no driver.',
    ),
    only(
      'opentelemetry-adapter',
      'adapters/opentelemetry/',
      [CORE, npm('@opentelemetry')],
      'An adapter knows the core and its own driver.',
    ),
    {
      ...only(
        'command-line',
        'cli/',
        [CORE, npm('commander', 'cli-table3', 'cli-progress', 'zod')],
        'The command line talks to a service, and needs no store.',
      ),
      from: { path: `${LIB}/cli/`, pathNot: [SPEC, `${LIB}/cli/stores/`] },
    },
    {
      name: 'command-line-to-the-stores',
      comment: 'A second composition root, with the choice of adapters that the module makes.',
      severity: 'error',
      from: { path: `${LIB}/cli/stores/`, pathNot: SPEC },
      to: {
        pathNot: [
          `${LIB}/cli/`,
          `${LIB}/nest/(options|stores)\\.ts$`,
          `${LIB}/adapters/(redis|postgres)/`,
          CORE,
          npm('typeorm'),
        ],
        dependencyTypesNot: ['core'],
      },
    },
    {
      name: 'composition-root',
      comment: 'Only the composition root chooses concrete adapters; the rest asks for ports.',
      severity: 'error',
      from: { path: `${LIB}/nest/`, pathNot: [SPEC, COMPOSITION_ROOT] },
      to: { path: `${LIB}/adapters/` },
    },
    {
      name: 'barrel-only',
      comment: 'Users of the library come in by its only door.',
      severity: 'error',
      from: { path: '^(src|bench)/' },
      to: { path: `${LIB}/`, pathNot: `${LIB}/index\\.ts$` },
    },
    {
      name: 'not-by-the-barrel',
      comment: 'Inside the house one does not use the front door: it makes cycles.',
      severity: 'error',
      from: { path: `${LIB}/` },
      to: { path: `${LIB}/index\\.ts$` },
    },
    {
      name: 'library-stands-alone',
      comment: 'The library must be usable without this repository around it.',
      severity: 'error',
      from: { path: `${LIB}/`, pathNot: SPEC },
      to: { path: '^(src|test|bench|scripts|ormconfig)' },
    },
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-orphans',
      comment: 'A file that nobody imports and that imports nobody is dead.',
      severity: 'error',
      from: { orphan: true, path: '^libs/', pathNot: SPEC },
      to: {},
    },
    {
      name: 'no-unresolvable',
      severity: 'error',
      from: { path: '^(libs|src|test|bench|scripts)/' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|libs/quota/dist|coverage|[.]tmp)/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
