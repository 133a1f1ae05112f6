export { percentile, startLoad, startStallMeter, type Sample } from './load';
export { startPostgres, type PostgresServer } from './postgres-server';
export { startPrometheus, type PrometheusServer } from './prometheus-server';
export { startRedis, type RedisServer } from './redis-server';
export { freePort, waitUntil } from './server-process';
