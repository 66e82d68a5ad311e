import type { ConvGeometry } from '@polder/ops/geometry';
import { B_IN_L1 } from './gemm-tables.js';
import { geometryKey } from './geometry.js';
import { imageParts, inParts, mainLane, partRange, type Lane } from './lanes.js';
import { planFor, scratch, type Runtime } from './runtime.js';

// 3 × 3 convolution of stride 1, and its gradient in the image (which is one too), by Winograd's F(2 × 2, 3 × 3): the
// image's tiles are transformed, 16 small matrix products replace the convolution, and the result is transformed back.

/** Bytes of transformed tiles and products worked on at a time: they should stay in the second-level cache. */
const CHUNK_BYTES = 256 * 1024;
const IMAGE_BYTES = 128 * 1024;

/** How an image falls into 4 × 4 tiles of a padded buffer that overlap by 2, and its convolution into 2 × 2. */
export interface Tiles {
  readonly paddedH: number;
  readonly paddedW: number;
  /** Images that are worked on at a time. */
  readonly group: number;
  readonly tilesPerImage: number;
  /** Tables: where a tile starts in the padded buffer and in the result, and which of its edges are inside. */
  readonly inputStarts: number;
  readonly outputStarts: number;
  readonly edges: number;
}

interface WinogradPlan extends Tiles {
  readonly chunk: number;
  readonly inputRows: number;
  readonly outputRows: number;
  readonly piece: number;
}

/** Does it pay? Channels must fill vectors and hide the transforms; a chunk needs the 6 rows of a tile of the product. */
export function winogradPays(g: ConvGeometry): boolean {
  const plain = g.kH === 3 && g.kW === 3 && g.strideH * g.strideW * g.dilationH * g.dilationW === 1;
  const tiles = Math.ceil(g.outH / 2) * Math.ceil(g.outW / 2);
  return (
    plain &&
    g.top <= 2 &&
    g.left <= 2 &&
    g.inC % 8 === 0 &&
    g.outC % 8 === 0 &&
    Math.min(g.inC, g.outC) >= 16 &&
    tiles >= 6
  );
}

/** The gradient in the image of a convolution of stride 1, as a convolution: from dy's shape to x's. */
export function transposedGeometry(g: ConvGeometry): ConvGeometry {
  return {
    ...g,
    inH: g.outH,
    inW: g.outW,
    inC: g.outC,
    outH: g.inH,
    outW: g.inW,
    outC: g.inC,
    top: g.kH - 1 - g.top,
    left: g.kW - 1 - g.left,
  };
}

/**
 * Bytes from one of a tile's 16 numbers to the next: an odd number of cache lines, because 16 addresses that are a power
 * of two apart fall into one set of the first-level cache, which has room for 8 or 12.
 */
export function planeBytes(tiles: number, channels: number): number {
  const lines = Math.ceil((tiles * channels * 4) / 64);
  return (lines + 1 - (lines % 2)) * 64;
}

/** The tiles of a group of images. */
export function tilesOf(g: ConvGeometry, table: (ints: readonly number[]) => number): Tiles {
  const [tilesH, tilesW] = [Math.ceil(g.outH / 2), Math.ceil(g.outW / 2)];
  const paddedH = Math.max(2 * tilesH + 2, g.inH + g.top);
  const paddedW = Math.max(2 * tilesW + 2, g.inW + g.left);
  const group = Math.max(1, Math.min(g.n, Math.floor(IMAGE_BYTES / (paddedH * paddedW * g.inC * 4))));
  const [inputStarts, outputStarts, edges]: [number[], number[], number[]] = [[], [], []];
  for (let image = 0; image < group; image++)
    for (let y = 0; y < tilesH; y++)
      for (let x = 0; x < tilesW; x++) {
        inputStarts.push(((image * paddedH + 2 * y) * paddedW + 2 * x) * g.inC * 4);
        outputStarts.push(((image * g.outH + 2 * y) * g.outW + 2 * x) * g.outC * 4);
        edges.push((2 * x + 1 < g.outW ? 1 : 0) + (2 * y + 1 < g.outH ? 2 : 0));
      }
  return {
    paddedH,
    paddedW,
    group,
    tilesPerImage: tilesH * tilesW,
    inputStarts: table(inputStarts),
    outputStarts: table(outputStarts),
    edges: table(edges),
  };
}

function winogradPlan(runtime: Runtime, g: ConvGeometry): WinogradPlan {
  return planFor(runtime, `winograd ${geometryKey(g)}`, (table) => {
    const chunk = Math.max(12, Math.floor(CHUNK_BYTES / (16 * 4 * (g.inC + g.outC))));
    const rows = (channels: number): readonly number[] => Array.from({ length: chunk }, (_, t) => t * channels * 4);
    return {
      ...tilesOf(g, table),
      chunk,
      inputRows: table(rows(g.inC)),
      outputRows: table(rows(g.outC)),
      piece: table([0]),
    };
  });
}

/**
 * y = x ∗ filter for a geometry that {@link winogradPays}. `transposed`: the filter is the one of the convolution whose
 * gradient this is, [3][3][outC][inC] of this geometry.
 */
export function convWinograd(
  runtime: Runtime,
  x: number,
  filter: number,
  y: number,
  g: ConvGeometry,
  transposed: boolean,
): void {
  const plan = winogradPlan(runtime, g);
  const packed = scratch(runtime, 'filter', 16 * g.inC * g.outC * 4);
  const [filterIn, filterOut] = transposed ? [g.outC, g.inC] : [g.inC, g.outC];
  mainLane(runtime).kernels.winogradFilter(filter, filterIn, filterOut, transposed ? 1 : 0, packed);
  const { group, paddedH, paddedW } = plan;
  inParts(runtime, imageParts(g.n), (lane, part) => {
    const [from, to] = partRange(g.n, imageParts(g.n), part);
    const images = lane.scratch('images', group * paddedH * paddedW * g.inC * 4);
    for (let i = from; i < to; i += group) {
      const count = Math.min(group, to - i);
      const source = x + i * g.inH * g.inW * g.inC * 4;
      lane.kernels.padImages(source, count, g.inH, g.inW, g.inC, g.inC, g.top, g.left, paddedH, paddedW, images);
      convolveGroup(lane, plan, g, images, packed, y + i * g.outH * g.outW * g.outC * 4, count);
    }
  });
}

function convolveGroup(
  { kernels, scratch }: Lane,
  plan: WinogradPlan,
  g: ConvGeometry,
  images: number,
  packed: number,
  y: number,
  count: number,
): void {
  const { chunk, tilesPerImage, inputStarts, outputStarts, edges, inputRows, outputRows, piece } = plan;
  const transformed = scratch('tiles', 16 * planeBytes(chunk, g.inC));
  const products = scratch('products', 16 * planeBytes(chunk, g.outC));
  const tiles = count * tilesPerImage;
  const chunks = Math.ceil(tiles / chunk);
  const matrix = g.inC * g.outC * 4;
  const rowsOutside = matrix <= B_IN_L1 ? 1 : 0;
  for (let index = 0; index < chunks; index++) {
    const [from, to] = partRange(tiles, chunks, index);
    const rows = to - from;
    const [inPlane, outPlane] = [planeBytes(rows, g.inC), planeBytes(rows, g.outC)];
    kernels.winogradInput(rows, inputStarts + from * 4, images, plan.paddedW * g.inC * 4, g.inC, inPlane, transformed);
    kernels.winogradProducts(
      rows,
      inputRows,
      outputRows,
      transformed,
      inPlane,
      products,
      outPlane,
      packed,
      matrix,
      piece,
      g.inC,
      g.outC / 8,
      rowsOutside,
    );
    const starts = outputStarts + from * 4;
    kernels.winogradOutput(rows, starts, edges + from * 4, products, outPlane, g.outC, g.outW * g.outC * 4, y);
  }
}
