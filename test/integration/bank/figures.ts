/** Says what a test has measured, when QUOTA_FIGURES is set. */
export function figures(name: string, values: object): void {
  if (process.env['QUOTA_FIGURES'] !== undefined) {
    process.stderr.write(`${JSON.stringify({ name, ...values })}\n`);
  }
}
