import { MemoryQuotaStore } from '@app/quota';
import { describeQuotaStore } from './quota-store.contract';

describeQuotaStore('MemoryQuotaStore', () => ({ store: new MemoryQuotaStore() }));
