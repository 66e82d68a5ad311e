import { stockGeometry as geometryOfStock, type ConvGeometry, type StockConvAttrs } from '@polder/ops/geometry';
import { WasmBackendError } from './backend.js';

/** The geometry of a stock kernel call; throws {@link WasmBackendError} on channels first, as stock does. */
export function stockGeometry(
  inShape: readonly number[],
  filterShape: readonly number[],
  attrs: StockConvAttrs,
  depthwise = false,
): ConvGeometry {
  if (attrs.dataFormat === 'NCHW') {
    throw new WasmBackendError('Convolutions on wasm take channels last (NHWC), but dataFormat is "NCHW".');
  }
  return geometryOfStock(inShape, filterShape, attrs, depthwise);
}

/** A key for plans: everything that a geometry says. */
export function geometryKey(g: ConvGeometry): string {
  return `${g.n},${g.inH},${g.inW},${g.inC},${g.outH},${g.outW},${g.outC},${g.kH},${g.kW},${g.strideH},${g.strideW},${g.dilationH},${g.dilationW},${g.top},${g.left}`;
}

/** `value` up to the next multiple. */
export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
