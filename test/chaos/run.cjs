// npm run test:chaos -- --seconds N --seed S [--store redis|postgres|both]
require('../support/swc-hook.cjs');
require('./main.ts');
