import { text } from 'node:stream/consumers';
import { csvStream, type CsvPage } from './csv';

const COLUMNS = ['tenant_id', 'writes'];

function csv(first: CsvPage): Promise<string> {
  return text(csvStream(COLUMNS, first));
}

describe('csvStream', () => {
  it('has a header row, also where there is nothing else', async () => {
    expect(await csv({ rows: [], next: null })).toBe('tenant_id,writes\r\n');
  });

  it('reads page after page', async () => {
    const page = (n: number): CsvPage => ({
      rows: [{ tenant_id: `t${String(n)}`, writes: n }],
      next: n === 3 ? null : async () => page(n + 1),
    });
    expect(await csv(page(1))).toBe('tenant_id,writes\r\nt1,1\r\nt2,2\r\nt3,3\r\n');
  });

  it.each(['=1+1', '+1', '-1', '@SUM(A1)', '\tx', '\rx'])(
    'makes no formula of %j',
    async (hostile) => {
      const table = await csv({ rows: [{ tenant_id: hostile, writes: null }], next: null });
      const cell = table.slice('tenant_id,writes\r\n'.length, -',\r\n'.length);
      expect(cell.replaceAll('"', '').startsWith("'")).toBe(true);
      expect(cell).toContain(hostile);
    },
  );

  it('quotes what would break the table', async () => {
    const table = await csv({ rows: [{ tenant_id: 'a"b,c\nd', writes: 1 }], next: null });
    expect(table).toBe('tenant_id,writes\r\n"a""b,c\nd",1\r\n');
  });

  it('fails where a page does, and asks for none that nobody reads', async () => {
    const broken = { rows: [], next: () => Promise.reject(new Error('away')) };
    await expect(csv(broken)).rejects.toThrow('away');
    let asked = 0;
    const endless = (): CsvPage => ({
      rows: Array.from({ length: 500 }, () => ({ tenant_id: 'x'.repeat(100), writes: 1 })),
      next: async () => {
        asked += 1;
        return endless();
      },
    });
    const stream = csvStream(COLUMNS, endless());
    await new Promise((resolve) => stream.once('readable', resolve));
    await new Promise((resolve) => setImmediate(resolve));
    const before = asked;
    expect(before).toBeLessThan(5);
    const closed = new Promise((resolve) => stream.once('close', resolve));
    stream.destroy();
    await closed;
    expect(asked - before).toBeLessThan(2);
  });
});
