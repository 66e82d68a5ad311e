import { comparisonTable, groupRuns, runFigures } from './comparison.js';
import { configDetails, differences } from './config.js';
import type { Figure, Series } from './figure.js';
import { html, trusted, type Html } from './html.js';
import { formatNumber } from './numbers.js';
import { strokeOf } from './palette.js';
import { equalPasses } from './quantities.js';
import { renderFigure } from './render.js';
import { STYLE } from './style.js';
import type { RunRecord } from './run.js';
import type { Table, TableCell } from './table.js';

/** A part of the page below the runs: a claim and its verdict, an experiment's figures, notes. */
export interface Section {
  readonly heading: string;
  readonly paragraphs?: readonly string[];
  readonly tables?: readonly Table[];
  readonly figures?: readonly Figure[];
}

/** What {@link renderReport} prints. All text is escaped. */
export interface ReportInput {
  readonly title: string;
  /** One line: what ran, on which data, with which backend. */
  readonly subtitle?: string;
  readonly runs: readonly RunRecord[];
  /** Figures besides the curves of the runs. */
  readonly figures?: readonly Figure[];
  readonly sections?: readonly Section[];
}

/**
 * One self-contained HTML page: comparison table with passes per step, curves against gradient passes, metrics of the
 * policies, settings. SVG and CSS inside, no script, and a content policy that forbids every request; light and dark; a
 * table for every figure. The same input gives the same page.
 */
export async function renderReport(input: ReportInput): Promise<string> {
  const { title, subtitle, runs, figures = [], sections = [] } = input;
  const { results, policies } = runFigures(runs);
  let count = 0;
  const draw = async (list: readonly Figure[]): Promise<Html> => {
    const drawn: Html[] = [];
    for (const figure of list) drawn.push(await figureHtml(figure, `f${++count}`));
    return html`<div class="figures">${drawn}</div>`;
  };
  const parts: Html[] = [];
  const part = (heading: string, ...content: readonly Html[]): void => {
    parts.push(
      html`<section>
        <h2>${heading}</h2>
        ${content}
      </section>`,
    );
  };
  if (runs.length > 0) part('Results', tableHtml(comparisonTable(runs)), html`<p class="note">${passNote(runs)}</p>`);
  if (results.length > 0) part('Curves', await draw(results));
  if (policies.length > 0) part('What the policies did', await draw(policies));
  if (figures.length > 0) part('Figures', await draw(figures));
  for (const { heading, paragraphs = [], tables = [], figures = [] } of sections) {
    const content = [...paragraphs.map((text) => html`<p>${text}</p>`), ...tables.map(tableHtml)];
    part(heading, ...content, ...(figures.length > 0 ? [await draw(figures)] : []));
  }
  if (runs.length > 0) part('Settings', ...differencesHtml(runs), ...runs.map(settingsHtml));
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <title>${title}</title>
        <style>
          ${trusted(STYLE)}
        </style>
      </head>
      <body>
        <header>
          <h1>${title}</h1>
          ${subtitle === undefined ? [] : html`<p>${subtitle}</p>`}
        </header>
        <main>${parts.length > 0 ? parts : html`<p>Nothing to report: no runs, no figures.</p>`}</main>
      </body>
    </html> `.markup;
}

async function figureHtml(figure: Figure, id: string): Promise<Html> {
  const { svg, data, description } = await renderFigure(figure, { standalone: false, id });
  const legend = figure.kind === 'line' ? legendHtml(figure.series) : [];
  return html`<figure>
    <figcaption>
      <h3>${figure.title}</h3>
      ${legend}
    </figcaption>
    ${trusted(svg)}
    <p class="note">${description}</p>
    <details>
      <summary>Numbers</summary>
      ${tableHtml(data)}
    </details>
  </figure>`;
}

function legendHtml(series: readonly Series[]): Html {
  const items = series.map(({ name, stroke }, i) => {
    const { color, dash } = strokeOf(stroke ?? i);
    return html`<li>
      <svg width="26" height="8" aria-hidden="true">
        <line
          x1="1"
          y1="4"
          x2="25"
          y2="4"
          stroke="${color}"
          stroke-width="2.5"
          stroke-dasharray="${dash.join(' ')}"
        /></svg
      >${name}
    </li>`;
  });
  return html`<ul class="legend">
    ${items}
  </ul>`;
}

function tableHtml({ caption, columns, rows }: Table): Html {
  const row = ([first, ...rest]: readonly TableCell[]): Html =>
    html`<tr>
      <th scope="row">${cellText(first ?? null)}</th>
      ${rest.map((cell) => html`<td>${cellText(cell)}</td>`)}
    </tr>`;
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0">
    <table>
      <caption>
        ${caption}
      </caption>
      <thead>
        <tr>
          ${columns.map((column) => html`<th scope="col">${column}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(row)}
      </tbody>
    </table>
  </div>`;
}

function cellText(cell: TableCell): string {
  if (cell === null) return '–';
  if (typeof cell === 'number') return formatNumber(cell);
  return typeof cell === 'boolean' ? (cell ? 'yes' : 'no') : cell;
}

function passNote(runs: readonly RunRecord[]): string {
  const repeats = groupRuns(runs).some(({ runs }) => runs.length > 1);
  return (
    'A pass is one gradient evaluation: SAM takes two a step, so equal steps are not equal work. ' +
    `Curves run over passes, and the table compares at ${formatNumber(equalPasses(runs))} passes, which every run has reached. ` +
    'SAM gap: L(w + ε) − L(w). Generalisation gap: training Top-1 less test Top-1.' +
    (repeats ? ' ± is half of the 95 % t-interval over repeats.' : '')
  );
}

function differencesHtml(runs: readonly RunRecord[]): readonly Html[] {
  const table = differences(runs);
  return table.rows.length === 0 ? [] : [tableHtml(table)];
}

function settingsHtml(run: RunRecord): Html {
  return html`<details>
    <summary>${run.label}: ${run.name}</summary>
    <pre>${configDetails(run.config)}</pre>
  </details>`;
}
