import { describeEachCommand } from './nth-suite';
import { UPKEEP } from './upkeep-operations';

describeEachCommand(UPKEEP, { banked: true });
