import { describeEachCommand } from './nth-suite';
import { VALUES } from './value-operations';

describeEachCommand(VALUES, { banked: false });
