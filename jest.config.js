// Packages that ship ES modules only. Jest on Node 20 cannot require them, so swc turns them
// into CommonJS like our own sources.
const ESM_PACKAGES = [
  '@nestjs',
  'file-type',
  'strtok3',
  'token-types',
  'uint8array-extras',
  '@tokenizer',
  '@borewit',
  'content-disposition',
  'cookie',
  // CommonJS, but with import(), which Jest's sandbox refuses.
  '@electric-sql',
];

const common = { target: 'es2023', keepClassNames: true };

/** @type {import('jest').Config} */
module.exports = {
  testEnvironment: 'node',
  testMatch: [
    '<rootDir>/libs/**/*.spec.ts',
    '<rootDir>/src/**/*.spec.ts',
    '<rootDir>/test/**/*.spec.ts',
  ],
  moduleFileExtensions: ['ts', 'js', 'mjs', 'cjs', 'json', 'node'],
  moduleNameMapper: {
    '^(@app/quota|nestjs-cache-quota)$': '<rootDir>/libs/quota/src',
    '^@electric-sql/pglite$': '<rootDir>/test/support/pglite.cjs',
  },
  modulePathIgnorePatterns: ['<rootDir>/dist/', '<rootDir>/libs/quota/dist/', '<rootDir>/.tmp/'],
  transform: {
    '\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          ...common,
          parser: { syntax: 'typescript', decorators: true },
          transform: {
            legacyDecorator: true,
            decoratorMetadata: true,
            useDefineForClassFields: false,
          },
        },
        module: { type: 'commonjs' },
      },
    ],
    '\\.[cm]?js$': [
      '@swc/jest',
      {
        jsc: { ...common, parser: { syntax: 'ecmascript', importMeta: true } },
        module: { type: 'commonjs' },
      },
    ],
  },
  // Also where one lies in the folder of the package that needs it.
  transformIgnorePatterns: [`/node_modules/(?!(.*/node_modules/)?(${ESM_PACKAGES.join('|')})/)`],

  // Only with --coverage; how much there must be is in scripts/coverage.mjs.
  collectCoverageFrom: ['libs/quota/src/**/*.ts', '!**/*.spec.ts', '!libs/quota/src/**/index.ts'],
  coverageDirectory: 'coverage',

  // Real servers start in the suites, on machines of two cores.
  testTimeout: 30_000,
  maxWorkers: 2,
  testSequencer: '<rootDir>/test/support/longest-first.cjs',
};
