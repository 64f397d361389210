/**
 * Protobuf messages as lists of parts. A message needs its length before its content, and tensors
 * may be larger than memory, so a part is either bytes or a tensor's range, copied only when written.
 */
import { sourceLength } from './tensor-data.js';
import type { TensorSource } from './types.js';

const utf8 = new TextEncoder();

export class MessageWriter {
  readonly parts: (Uint8Array | TensorSource)[] = [];
  length = 0;

  /** int64, int32, enum. */
  int(field: number, value: bigint | number): void {
    this.push(varint(BigInt(field) << 3n));
    this.push(varint(BigInt.asUintN(64, BigInt(value))));
  }

  float(field: number, value: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setFloat32(0, value, true);
    this.push(varint((BigInt(field) << 3n) | 5n));
    this.push(bytes);
  }

  string(field: number, value: string): void {
    this.bytes(field, utf8.encode(value));
  }

  /** Leaves an empty string out, as protobuf does with defaults. */
  optionalString(field: number, value: string): void {
    if (value !== '') this.string(field, value);
  }

  bytes(field: number, value: Uint8Array): void {
    this.prefix(field, value.byteLength);
    this.push(value);
  }

  tensorBytes(field: number, source: TensorSource): void {
    if (source.kind === 'inline') {
      this.bytes(field, source.bytes);
      return;
    }
    this.prefix(field, sourceLength(source));
    this.parts.push(source);
    this.length += source.length;
  }

  message(field: number, message: MessageWriter): void {
    this.prefix(field, message.length);
    for (const part of message.parts) this.parts.push(part);
    this.length += message.length;
  }

  packedInts(field: number, values: readonly (bigint | number)[]): void {
    if (values.length === 0) return;
    const packed = new MessageWriter();
    for (const value of values) packed.push(varint(BigInt.asUintN(64, BigInt(value))));
    this.message(field, packed.joined());
  }

  packedFloats(field: number, values: readonly number[]): void {
    if (values.length === 0) return;
    const bytes = new Uint8Array(values.length * 4);
    const view = new DataView(bytes.buffer);
    values.forEach((value, i) => {
      view.setFloat32(i * 4, value, true);
    });
    this.bytes(field, bytes);
  }

  /** The same message with neighbouring byte parts put together. */
  joined(): MessageWriter {
    const result = new MessageWriter();
    let run: Uint8Array[] = [];
    const flush = (): void => {
      if (run.length > 0) result.push(Buffer.concat(run));
      run = [];
    };
    for (const part of this.parts) {
      if (part instanceof Uint8Array) {
        run.push(part);
      } else {
        flush();
        result.parts.push(part);
        result.length += sourceLength(part);
      }
    }
    flush();
    return result;
  }

  /** Appends bytes that are encoded already. */
  push(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.length += bytes.byteLength;
  }

  private prefix(field: number, length: number): void {
    this.push(varint((BigInt(field) << 3n) | 2n));
    this.push(varint(BigInt(length)));
  }
}

function varint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
