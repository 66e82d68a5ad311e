import type { ConvGeometry } from '@polder/ops/geometry';
import { geometryKey, roundUp } from './geometry.js';
import { imageParts, inParts, mainLane, partRange, type Lane } from './lanes.js';
import { planFor, scratch, type Runtime } from './runtime.js';
import { planeBytes, tilesOf, winogradPays, type Tiles } from './winograd.js';

// Gradient in the filter of a 3 × 3 convolution of stride 1 by Winograd's F(3 × 3, 2 × 2): tiles of the image and of dy
// are transformed, 16 matrix products sum over tiles, and 16 numbers per pair of channels become 9.

const CHUNK_BYTES = 256 * 1024;
/** Private sums of all parts take this much memory at most; larger filters are left to the direct way. */
const SUM_BYTES = 16 * 1024 * 1024;

interface FilterPlan extends Tiles {
  /** Tiles per product, a multiple of the 4 that the micro-kernel takes at a step. */
  readonly chunk: number;
  readonly rows: number;
  readonly planeRows: number;
  readonly sumRows: number;
}

/** Does it pay, and fit? */
export function winogradFilterPays(g: ConvGeometry): boolean {
  return winogradPays(g) && imageParts(g.n) * sumBytes(g) <= SUM_BYTES;
}

function sumBytes(g: ConvGeometry): number {
  return 16 * roundUp(g.inC, 6) * g.outC * 4;
}

function filterPlan(runtime: Runtime, g: ConvGeometry): FilterPlan {
  return planFor(runtime, `winograd filter ${geometryKey(g)}`, (table) => {
    const tiles = tilesOf(g, table);
    const most = Math.max(16, Math.floor(CHUNK_BYTES / (16 * 4 * (g.inC + g.outC))));
    const perGroup = tiles.group * tiles.tilesPerImage;
    const chunk = roundUp(Math.ceil(perGroup / Math.ceil(perGroup / most)), 4);
    const rows = roundUp(g.inC, 6);
    // Rows that fill the last tile of the product read row 0 and are thrown away.
    const planeRows = Array.from({ length: rows }, (_, row) => (row < g.inC ? row * chunk * 4 : 0));
    const sumRows = Array.from({ length: rows }, (_, row) => row * g.outC * 4);
    return { ...tiles, chunk, rows, planeRows: table(planeRows), sumRows: table(sumRows) };
  });
}

/** dw from x and dy for a geometry that {@link winogradFilterPays}. */
export function convFilterWinograd(runtime: Runtime, x: number, dy: number, dw: number, g: ConvGeometry): void {
  const plan = filterPlan(runtime, g);
  const parts = imageParts(g.n);
  const bytes = sumBytes(g);
  const sums = scratch(runtime, 'filter sums', parts * bytes);
  const { group, paddedH, paddedW } = plan;
  inParts(runtime, parts, (lane, part) => {
    const [from, to] = partRange(g.n, parts, part);
    const images = lane.scratch('images', group * paddedH * paddedW * g.inC * 4);
    lane.kernels.zero(sums + part * bytes, bytes);
    for (let i = from; i < to; i += group) {
      const count = Math.min(group, to - i);
      const source = x + i * g.inH * g.inW * g.inC * 4;
      lane.kernels.padImages(source, count, g.inH, g.inW, g.inC, g.inC, g.top, g.left, paddedH, paddedW, images);
      sumGroup(lane, plan, g, images, dy + i * g.outH * g.outW * g.outC * 4, sums + part * bytes, count);
    }
  });
  const { kernels } = mainLane(runtime);
  kernels.sumParts(sums, parts, bytes, 16 * plan.rows, g.outC, g.outC, sums);
  kernels.winogradFilterGrad(sums, plan.rows * g.outC * 4, g.inC, g.outC, dw);
}

function sumGroup(
  { kernels, scratch }: Lane,
  plan: FilterPlan,
  g: ConvGeometry,
  images: number,
  dy: number,
  sum: number,
  count: number,
): void {
  const { chunk, rows, inputStarts, outputStarts, edges, planeRows, sumRows } = plan;
  const tiles = scratch('tiles', 16 * planeBytes(chunk, g.inC));
  const slopes = scratch('products', 16 * planeBytes(chunk, g.outC));
  const planes = scratch('planes', chunk * g.inC * 4);
  const panels = scratch('panels', chunk * g.outC * 4);
  const all = count * plan.tilesPerImage;
  for (let from = 0; from < all; from += chunk) {
    const some = Math.min(chunk, all - from);
    const [inPlane, outPlane] = [planeBytes(some, g.inC), planeBytes(some, g.outC)];
    const starts = outputStarts + from * 4;
    kernels.winogradInput(some, inputStarts + from * 4, images, plan.paddedW * g.inC * 4, g.inC, inPlane, tiles);
    kernels.winogradSlopes(some, starts, edges + from * 4, dy, g.outW * g.outC * 4, g.outC, outPlane, slopes);
    kernels.winogradSums(
      some,
      chunk,
      tiles,
      inPlane,
      g.inC,
      slopes,
      outPlane,
      g.outC,
      planes,
      panels,
      rows,
      planeRows,
      sumRows,
      sum,
    );
  }
}
