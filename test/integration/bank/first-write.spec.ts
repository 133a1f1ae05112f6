import type { Instance } from './instance';
import { KB, World } from './world';

let world: World;
let instances: Instance[];

beforeAll(async () => {
  world = await World.start();
  instances = await Promise.all([1, 2, 3].map(() => world.newInstance()));
});
afterAll(() => world.stop());

it('three instances that make the first writes of a tenant together lose nothing and rebuild nothing', async () => {
  for (let round = 0; round < 20; round += 1) {
    const tenant = await world.newTenant();
    const outcomes = await Promise.all(
      instances.flatMap((instance, i) =>
        [0, 1].map((n) => instance.put(tenant, `k${i}-${n}`, 10 * KB)),
      ),
    );
    expect(outcomes).toEqual(Array(6).fill('stored'));
  }
  const errors = instances.flatMap((instance) => instance.errors.map(({ error }) => error));
  expect(errors).not.toContain('usage_lost');
});
