import { ConfigModule } from '@nestjs/config';
import type { ZodError } from 'zod';
import type { Environment, Setting } from './setting';
import { isSet, RULES, SETTINGS, type SettingName, type Settings } from './settings.schema';

/** Settings that cannot be used: every one of them, with its value and what is allowed. */
export class InvalidSettingsError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`The service cannot start with these settings:\n  - ${problems.join('\n  - ')}`);
    this.name = 'InvalidSettingsError';
  }
}

/** The settings of the environment and of the `.env` file, which gives way to it. Throws as {@link parseSettings}. */
export async function readSettings(): Promise<Settings> {
  return new Promise((resolve, reject) => {
    const validate = (env: Environment): Record<string, never> => {
      resolve(parseSettings(env));
      // What is returned would be written to process.env, for others to see.
      return {};
    };
    ConfigModule.forRoot({ validate }).catch(reject);
  });
}

/** @throws InvalidSettingsError naming everything that is wrong. */
export function parseSettings(env: Environment): Settings {
  const problems: string[] = [];
  const names = Object.keys(SETTINGS) as SettingName[];
  const entries = names.map((name) => {
    const setting: Setting<unknown> = SETTINGS[name];
    const given = textOf(setting, env[name], env);
    const parsed = setting.schema.safeParse(given);
    if (!parsed.success) problems.push(problemOf(name, setting, given, parsed.error));
    return [name, parsed.data];
  });
  if (problems.length > 0) throw new InvalidSettingsError(problems);
  const values = Object.fromEntries(entries) as Settings;
  const told = isSet(env['QUOTA_ENFORCEMENT_ENABLED']);
  const quotaKillSwitch = told && !values.QUOTA_ENFORCEMENT_ENABLED;
  const settings = Object.freeze({ ...values, quotaKillSwitch });
  const broken = RULES.map((rule) => rule(settings)).filter((problem) => problem !== null);
  if (broken.length > 0) throw new InvalidSettingsError(broken);
  return settings;
}

/** The default where nothing is given; a blank stands for nothing unless one text is always taken. */
function textOf(
  setting: Setting<unknown>,
  given: string | undefined,
  env: Environment,
): string | undefined {
  const always = typeof setting.default === 'string';
  if (given !== undefined && (given !== '' || always)) return given;
  return typeof setting.default === 'object' ? setting.default.of(env) : setting.default;
}

function problemOf(
  name: string,
  setting: Setting<unknown>,
  given: string | undefined,
  error: ZodError,
): string {
  const value = setting.secret === true ? '(not shown)' : JSON.stringify(given?.slice(0, 200));
  const [issue] = error.issues;
  const why: unknown = issue?.code === 'custom' ? issue.params?.['why'] : undefined;
  const reason = typeof why === 'string' ? `: ${why}` : '';
  return `${name}=${value} is not usable${reason}. Allowed: ${setting.allowed}.`;
}
