export { MemoryUsageTracker, monotonicClock } from './memory-usage-tracker';
