import { readFileSync } from 'node:fs';
import { expect } from 'vitest';

/** CRC-32C as long division of polynomials, bit by bit: another program than the one under test. */
export function checksum(bytes: Uint8Array): number {
  let rest = 0xffffffffn;
  for (const byte of bytes) {
    rest ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) rest = rest & 1n ? (rest >> 1n) ^ 0x82f63b78n : rest >> 1n;
  }
  return Number(rest ^ 0xffffffffn);
}

const masked = (crc: number): number => (Math.floor(crc / 2 ** 15) + (crc % 2 ** 15) * 2 ** 17 + 0xa282ead8) % 2 ** 32;

type Field = readonly [field: number, value: number | Uint8Array];

/** The fields of a protobuf message. */
function fieldsOf(message: Uint8Array): Field[] {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let place = 1; ; place *= 128) {
      const byte = message[at++]!;
      value += (byte % 128) * place;
      if (byte < 128) return value;
    }
  };
  const fields: Field[] = [];
  while (at < message.length) {
    const key = varint();
    const kind = key % 8;
    const field = (key - kind) / 8;
    if (kind === 0) fields.push([field, varint()]);
    else if (kind === 1) fields.push([field, view.getFloat64((at += 8) - 8, true)]);
    else if (kind === 5) fields.push([field, view.getFloat32((at += 4) - 4, true)]);
    else {
      const length = varint();
      fields.push([field, message.subarray(at, (at += length))]);
    }
  }
  expect(at).toBe(message.length);
  return fields;
}

export interface Read {
  readonly wallTime: number;
  readonly step: number | undefined;
  readonly version: string | undefined;
  readonly restart: boolean;
  readonly scalars: Readonly<Record<string, number>>;
}

/** Reads an event file record by record, checksums checked. */
export function readEvents(file: string): Read[] {
  const bytes = new Uint8Array(readFileSync(file));
  const view = new DataView(bytes.buffer);
  const text = (value: number | Uint8Array | undefined): string | undefined =>
    value instanceof Uint8Array ? new TextDecoder().decode(value) : undefined;
  const events: Read[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = Number(view.getBigUint64(at, true));
    expect(view.getUint32(at + 8, true)).toBe(masked(checksum(bytes.subarray(at, at + 8))));
    const message = bytes.subarray(at + 12, at + 12 + length);
    expect(view.getUint32(at + 12 + length, true)).toBe(masked(checksum(message)));
    const fields = new Map(fieldsOf(message));
    const summary = fields.get(5);
    const values = summary instanceof Uint8Array ? fieldsOf(summary) : [];
    events.push({
      wallTime: fields.get(1) as number,
      step: fields.get(2) as number | undefined,
      version: text(fields.get(3)),
      restart: fields.has(7) && new Map(fieldsOf(fields.get(7) as Uint8Array)).get(1) === 1,
      scalars: Object.fromEntries(
        values.map(([, value]) => {
          const parts = new Map(fieldsOf(value as Uint8Array));
          return [text(parts.get(1))!, parts.get(2) as number];
        }),
      ),
    });
    at += length + 16;
  }
  return events;
}
