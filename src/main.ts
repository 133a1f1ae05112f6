import 'reflect-metadata';
import { InvalidOptionsError } from '@app/quota';
import { createApp } from './bootstrap';
import { InvalidSettingsError, readSettings } from './config/settings';
import { greet, welcome } from './welcome';

async function main(): Promise<void> {
  const settings = await readSettings();
  greet(settings);
  const app = await createApp(settings);
  app.enableShutdownHooks([], { useProcessExit: true });
  await app.listen(settings.PORT, settings.HOST);
  welcome(settings, await app.getUrl());
}

main().catch((error: unknown) => {
  // A setting is wrong: the message says all; where in our code that was found helps nobody.
  const expected = error instanceof InvalidSettingsError || error instanceof InvalidOptionsError;
  process.stderr.write(
    `${expected ? error.message : String(error instanceof Error ? error.stack : error)}\n`,
  );
  process.exitCode = 1;
});
