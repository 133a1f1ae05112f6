import { parseRedisUrl, REDIS_URL_ALLOWED, RedisUrlError } from '@app/quota';
import { z } from 'zod';
import type { Setting } from './setting';

/** One of the three ways to run Redis. Secret, since it may hold a password. */
export function redisUrl(about: Pick<Setting<unknown>, 'about'>): Setting<string> {
  const schema = z.string().superRefine((text, context) => {
    try {
      parseRedisUrl(text);
    } catch (error) {
      const why = error instanceof RedisUrlError ? error.message : 'it cannot be read';
      context.addIssue({ code: 'custom', params: { why } });
    }
  });
  return { ...about, schema, allowed: REDIS_URL_ALLOWED, secret: true };
}
