// npm run bench -- --help
import { readOptions } from './options';
import { measureClosed, warmUp } from './parts/closed';
import { profileVariant } from './profile';
import { Progress } from './report/progress';
import { Stand } from './stand/stand';

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  const stand = await Stand.start();
  const progress = new Progress(300);
  try {
    if (options.profile !== undefined) {
      progress.stop();
      return await profileVariant(stand, options.profile, options);
    }
    for (const adapter of options.adapters) {
      const subjects = await stand.open(adapter, options.variants);
      await warmUp(subjects, progress);
      for (const row of await measureClosed(subjects, options, progress)) console.log(JSON.stringify(row));
      await stand.close();
    }
  } finally {
    progress.stop();
    await stand.stop();
  }
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
