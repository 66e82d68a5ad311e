/**
 * The bytes of TensorBoard's event files: records of TFRecord, each an `Event` message of
 * tensorflow/core/util/event.proto in protobuf's wire format. Only what scalars need.
 */

/** One event: a file's first (`version`), scalars at a step, or the mark that a restarted run continues from a step. */
export interface BoardEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step?: number;
  readonly version?: string;
  readonly scalars?: readonly (readonly [tag: string, value: number])[];
  /** SessionLog.START: readers drop what earlier files of the folder hold from this event's step on. */
  readonly restart?: boolean;
}

/** An event as a record: length, its checksum, the message, its checksum; all little-endian. */
export function encodeEvent(event: BoardEvent): Uint8Array {
  const message = eventMessage(event);
  const record = new Uint8Array(message.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(message.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(message, 12);
  view.setUint32(12 + message.length, maskedCrc(message), true);
  return record;
}

/** CRC-32C (Castagnoli) of bytes, unsigned. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (table[(crc ^ byte) & 0xff]! ^ (crc >>> 8)) >>> 0;
  return (crc ^ 0xffffffff) >>> 0;
}

/** TFRecord rotates and shifts checksums, because a checksum over bytes that hold checksums would say little. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const table: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  // The Castagnoli polynomial, bits reversed.
  for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc >>> 0;
});

function eventMessage({ wallTime, step, version, scalars, restart }: BoardEvent): Uint8Array {
  return join([
    ...double(1, wallTime),
    ...(step === undefined ? [] : integer(2, step)),
    ...(version === undefined ? [] : bytes(3, text(version))),
    ...(scalars === undefined ? [] : bytes(5, join(scalars.flatMap(([tag, value]) => bytes(1, scalar(tag, value)))))),
    // SessionLog { status = START }
    ...(restart === true ? bytes(7, join(integer(1, 1))) : []),
  ]);
}

/** Summary.Value { tag, simple_value } */
function scalar(tag: string, value: number): Uint8Array {
  return join([...bytes(1, text(tag)), ...float(2, value)]);
}

// Fields in protobuf's wire format: a key (number and kind), then the value.

function integer(field: number, value: number): readonly Uint8Array[] {
  return [varint(field * 8), varint(value)];
}

function double(field: number, value: number): readonly Uint8Array[] {
  return [varint(field * 8 + 1), new Uint8Array(new Float64Array([value]).buffer)];
}

function bytes(field: number, value: Uint8Array): readonly Uint8Array[] {
  return [varint(field * 8 + 2), varint(value.length), value];
}

function float(field: number, value: number): readonly Uint8Array[] {
  return [varint(field * 8 + 5), new Uint8Array(new Float32Array([value]).buffer)];
}

/** Of an integer from 0 to 2^53: arithmetic, because shifts end at 32 bits. */
function varint(value: number): Uint8Array {
  const groups: number[] = [];
  let rest = value;
  do {
    const group = rest % 128;
    rest = (rest - group) / 128;
    groups.push(rest > 0 ? group + 128 : group);
  } while (rest > 0);
  return Uint8Array.from(groups);
}

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
