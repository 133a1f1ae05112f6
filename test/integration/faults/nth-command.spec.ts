import { describeEachCommand } from './nth-suite';
import { REQUESTS } from './request-operations';

describeEachCommand(REQUESTS, { banked: true });
