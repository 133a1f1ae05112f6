import { isExcluded, pathOf, type QuotaRequest } from './http-exchange';

describe('paths', () => {
  const excluded = ['/health', '/openapi.json'];

  it.each(['/health', '/health/live', '/openapi.json'])('excludes %s', (path) => {
    expect(isExcluded(path, excluded)).toBe(true);
  });

  it.each(['/healthXYZ', '/', '/cache/health', '/openapi.jsonx', '/Health'])(
    'does not exclude %s',
    (path) => {
      expect(isExcluded(path, excluded)).toBe(false);
    },
  );

  it('are taken without their query, and as the client sent them', () => {
    const request = (url: string, originalUrl?: string) =>
      ({ headers: {}, url, originalUrl }) as QuotaRequest;
    expect(pathOf(request('/a?x=/health'))).toBe('/a');
    expect(pathOf(request('/live', '/health/live'))).toBe('/health/live');
  });
});
