import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { spreadOf } from '../statistics';
import { ADAPTERS } from '../variants';
import { RESULTS_FOLDER, type Results } from './results';
import { barChart, type Chart, type Mark } from './svg';

/** A plot and the name of its file. */
type Plot = Chart & { readonly file: string };

/** Writes the plots beside the report. Returns the names of their files. */
export async function writePlots(results: Results): Promise<string[]> {
  const plots = [...throughput(results), ...latency(results), ...sweeps(results)];
  for (const plot of plots) await writeFile(join(RESULTS_FOLDER, plot.file), barChart(plot));
  return plots.map(({ file }) => file);
}

function throughput({ closed }: Results): Plot[] {
  return ADAPTERS.flatMap((adapter) => {
    const rows = closed.filter((row) => row.adapter === adapter && row.connections === 32);
    if (rows.length === 0) return [];
    return [
      {
        file: `throughput-${adapter}.svg`,
        title: `Throughput by the bare route's, ${adapter}, 32 connections`,
        unit: 'median, least and most of the rounds',
        marks: rows.map(({ variant, ratios }) => markOf(variant, ratios)),
        reference: 1,
      },
    ];
  });
}

function latency({ open }: Results): Plot[] {
  return ADAPTERS.flatMap((adapter) => {
    const rows = open.filter((row) => row.adapter === adapter);
    if (rows.length === 0) return [];
    return [
      {
        file: `latency-${adapter}.svg`,
        title: `p99 at 1,000 requests/s, ${adapter}`,
        unit: 'ms, from when a request was to be sent',
        marks: rows.map(({ variant, p99 }) => markOf(variant, p99)),
      },
    ];
  });
}

function sweeps({ sweeps: rows }: Results): Plot[] {
  return (['tenants', 'bytes', 'entries'] as const).flatMap((sweep) => {
    const own = rows.filter((row) => row.sweep === sweep && row.variant !== 'bare');
    if (own.length === 0) return [];
    const of = sweep === 'entries' ? 'the ledger of 10 entries' : 'the bare route';
    return [
      {
        file: `sweep-${sweep}.svg`,
        title: `Throughput by ${of}, by ${sweep}`,
        unit: 'median, least and most of the rounds',
        marks: own.map(({ variant, at, ratios }) =>
          markOf(`${variant.replace('guard-', '')} ${at.toLocaleString('en')}`, ratios, true),
        ),
        reference: 1,
      },
    ];
  });
}

function markOf(label: string, values: readonly number[], own = label.startsWith('guard')): Mark {
  const { median: value, min, max } = spreadOf(values);
  return { label, value, min, max, own };
}
