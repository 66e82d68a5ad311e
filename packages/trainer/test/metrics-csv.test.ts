import { expect, it } from 'vitest';
import { metricsCsv } from '../src/node/metrics-csv.js';

/** A reader of RFC 4180, by its grammar. */
function parse(csv: string): string[][] {
  const rows: string[][] = [];
  for (const [, record] of csv.matchAll(/((?:"(?:[^"]|"")*"|[^"\r\n])*)\r\n/g))
    rows.push(
      [...record!.matchAll(/(?:^|,)("(?:[^"]|"")*"|[^",]*)/g)].map(([, field]) =>
        field!.startsWith('"') ? field!.slice(1, -1).replaceAll('""', '"') : field!,
      ),
    );
  return rows;
}

const fixed =
  'step,epoch,passes,learningRate,loss,skippedSteps,testLoss,testTop1,testTop5,trainLoss,trainTop1,trainTop5,' +
  'generalisationGap,lossGap';

it('has a line per row: the fixed columns, then what the policy reports by name, numbers unrounded', () => {
  const rows = [
    { step: 1, epoch: 0.1, passes: 2, loss: 0.1 + 0.2, samGap: 1e-7, gamma: null },
    { step: 2, epoch: 0.2, passes: 4, testTop1: 0.5, emaTestTop1: 1 },
  ];
  expect(metricsCsv(rows.map((row) => `${JSON.stringify(row)}\n`).join(''))).toBe(
    `${fixed},emaTestTop1,gamma,samGap\r\n` +
      '1,0.1,2,,0.30000000000000004,,,,,,,,,,,NaN,1e-7\r\n' +
      '2,0.2,4,,,,,0.5,,,,,,,1,,\r\n',
  );
});

it('quotes what CSV would misread, and leaves out a line that was cut short', () => {
  const names = ['a,b', 'say "hi"', 'two\nlines'];
  const row = Object.fromEntries([['step', 1], ...names.map((name, i) => [name, i] as const)]);
  const [header, line, ...more] = parse(metricsCsv(`${JSON.stringify(row)}\n{"step":2,"los`));
  expect(more).toEqual([]);
  expect(header!.slice(14)).toEqual(names.toSorted());
  expect(line!.slice(14)).toEqual(names.toSorted().map((name) => String(names.indexOf(name))));
});

it('has its header when there is no row yet', () => {
  expect(metricsCsv('')).toBe(`${fixed}\r\n`);
});
