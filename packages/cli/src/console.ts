import pc from 'picocolors';

type Colors = ReturnType<typeof pc.createColors>;

/** Colours for a stream: on a terminal that is no dumb one. NO_COLOR turns them off, FORCE_COLOR on; NO_COLOR wins. */
export function colorsFor(stream: NodeJS.WriteStream): Colors {
  const { NO_COLOR: off = '', FORCE_COLOR: forced = '', TERM: terminal } = process.env;
  if (off !== '' || forced === '0' || forced === 'false') return pc.createColors(false);
  return pc.createColors(forced !== '' || (stream.isTTY && terminal !== 'dumb'));
}

/** A line of data, on stdout. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Data for programs, on stdout. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** A line about progress, on stderr. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Aligned columns: the first to the left, numbers to the right; a heading, and a rule below it. */
export function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((column, i) => Math.max(column.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [line(columns), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}
