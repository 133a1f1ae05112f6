import { MemoryRolloutStore } from '@app/quota';
import { describeRolloutStore } from './rollout-store.contract';

describeRolloutStore('MemoryRolloutStore', () => ({ store: new MemoryRolloutStore() }));
