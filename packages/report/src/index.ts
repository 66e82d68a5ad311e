export { renderReport, type ReportInput, type Section } from './report.js';
export { renderFigure, type RenderOptions } from './render.js';
export type {
  Axis,
  Bar,
  BarFigure,
  Cell,
  Figure,
  HeatmapFigure,
  LineFigure,
  Point,
  RenderedFigure,
  Series,
} from './figure.js';
export type { Table, TableCell } from './table.js';
export type { MetricsRow, RunRecord } from './run.js';
export { comparisonTable, runFigures } from './comparison.js';
export { meanInterval, medianInterval, wilsonInterval, type Interval } from './intervals.js';
export { formatInterval, formatNumber } from './numbers.js';
export {
  compareSettings,
  groupBySettings,
  IncomparableRunsError,
  labelBySettings,
  type ComparedQuantity,
  type ComparedSetting,
  type RunComparison,
  type SeedGroup,
} from './seeds.js';
