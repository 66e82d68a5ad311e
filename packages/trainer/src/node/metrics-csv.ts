/** Columns that are always there, in this order; metrics of the policy follow by name. */
const columns = [
  'step',
  'epoch',
  'passes',
  'learningRate',
  'loss',
  'skippedSteps',
  'testLoss',
  'testTop1',
  'testTop5',
  'trainLoss',
  'trainTop1',
  'trainTop5',
  'generalisationGap',
  'lossGap',
] as const;

/**
 * The rows of a `metrics.jsonl` as CSV (RFC 4180: CRLF, quotes where needed, a header). A line per row, empty where a
 * row does not have the column, `NaN` where its number is not finite. A function of the rows: the same rows, the same bytes.
 */
export function metricsCsv(jsonl: string): string {
  const rows = jsonl
    .split('\n')
    // What follows the last newline is empty, or a write cut short.
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>);
  const fixed: readonly string[] = columns;
  const others = [...new Set(rows.flatMap((row) => Object.keys(row)))].filter((key) => !fixed.includes(key)).sort();
  const header = [...fixed, ...others];
  const lines = [header, ...rows.map((row) => header.map((key) => row[key]))];
  return lines.map((line) => `${line.map(cell).join(',')}\r\n`).join('');
}

function cell(value: unknown): string {
  if (value === undefined) return '';
  if (value === null) return 'NaN';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
