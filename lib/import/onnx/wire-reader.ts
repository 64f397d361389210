/**
 * A bounded cursor over protobuf's wire format (https://protobuf.dev/programming-guides/encoding/).
 * It is our own because library readers want the whole message in one buffer, while ONNX files
 * pass 2 GB: this one reads through a window and steps over large fields without touching them.
 */
import { GyrfalconError } from '../../errors.js';
import type { ByteSource } from './byte-source.js';
import { INTEGER_COST, MAX_METADATA_BYTES, MAX_NAME_BYTES, MESSAGE_COST } from './limits.js';

export const Wire = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** Field number → name, for error texts. */
export type FieldNames = Readonly<Record<number, string>>;

/**
 * Called once per field. `end` is the end of a length-delimited value (0 for other wire types).
 * Returns false for a field that it does not read; the reader then skips it.
 */
export type FieldVisitor = (field: number, wire: number, end: number) => boolean;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export class WireReader {
  position = 0;
  /** Where in the model the reader is, e.g. ['graph', 'node', 'attribute']. */
  private readonly trail: string[] = [];
  private end: number;
  private metadataBytes = 0;

  constructor(private readonly source: ByteSource) {
    this.end = source.size;
  }

  get size(): number {
    return this.source.size;
  }

  get sourcePath(): string | null {
    return this.source.path;
  }

  /** Reads the fields of the message that ends at `end`. */
  message(end: number, names: FieldNames, visit: FieldVisitor): void {
    const outerEnd = this.end;
    this.end = end;
    this.charge(MESSAGE_COST);
    while (this.position < end) {
      const tag = this.tag();
      const field = Math.floor(tag / 8);
      const wire = tag % 8;
      this.trail.push(names[field] ?? `field ${field}`);
      if (field === 0) this.fail('a field number of at least 1', '0');
      if (wire === Wire.bytes) {
        const length = this.varint();
        const left = end - this.position;
        if (length > BigInt(left)) this.fail(`a length of at most ${left} bytes`, `${length}`);
        const valueEnd = this.position + Number(length);
        if (visit(field, wire, valueEnd)) {
          if (this.position !== valueEnd)
            this.fail('a value that fills its length', 'a shorter one');
        } else {
          this.position = valueEnd;
        }
      } else if (wire === Wire.varint || wire === Wire.fixed32 || wire === Wire.fixed64) {
        if (!visit(field, wire, 0)) this.skipScalar(wire);
      } else {
        this.fail('wire type 0, 1, 2 or 5', `${wire}`);
      }
      this.trail.pop();
    }
    this.end = outerEnd;
  }

  /** An int64 field as a signed bigint. */
  int64(wire: number): bigint {
    this.expectWire(wire, Wire.varint);
    return BigInt.asIntN(64, this.varint());
  }

  /** An int64 field that has to be exact as a number. */
  safeInteger(wire: number): number {
    const value = this.int64(wire);
    if (value > 0x1fffffffffffffn || value < -0x1fffffffffffffn) {
      this.fail('an integer within 2^53', `${value}`);
    }
    return Number(value);
  }

  /** An int32 or enum field. */
  int32(wire: number): number {
    const value = this.int64(wire);
    if (value > 0x7fffffffn || value < -0x80000000n) this.fail('a 32-bit integer', `${value}`);
    return Number(value);
  }

  float32(wire: number): number {
    this.expectWire(wire, Wire.fixed32);
    const bytes = this.take(4);
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getFloat32(0, true);
  }

  /** A string field; `limit` in bytes. */
  string(wire: number, end: number, limit = MAX_NAME_BYTES): string {
    const bytes = this.bytesView(wire, end, limit);
    try {
      return utf8.decode(bytes);
    } catch {
      return this.fail('UTF-8 text', 'other bytes');
    }
  }

  /** A copy of a bytes field; `limit` in bytes. */
  bytes(wire: number, end: number, limit: number): Uint8Array {
    return new Uint8Array(this.bytesView(wire, end, limit));
  }

  /** The values of a repeated varint field, packed or single, appended to `into`. */
  varints(wire: number, end: number, into: bigint[]): void {
    if (wire !== Wire.bytes) {
      this.charge(INTEGER_COST);
      into.push(this.int64(wire));
      return;
    }
    this.bounded(end, () => {
      while (this.position < end) {
        this.charge(INTEGER_COST);
        into.push(BigInt.asIntN(64, this.varint()));
      }
    });
  }

  /** A view of the next `length` bytes, valid until the next read. */
  take(length: number): Uint8Array {
    if (length > this.end - this.position) {
      this.fail(`${length} bytes`, `the end of the message after ${this.end - this.position}`);
    }
    const view = this.source.view(this.position, length);
    this.position += length;
    return view;
  }

  /** Bytes that the reader has passed already; valid until the next read. */
  peek(offset: number, length: number): Uint8Array {
    return this.source.view(offset, length);
  }

  /** An unsigned 64-bit varint. */
  varint(): bigint {
    let low = 0;
    for (let i = 0; i < 4; i++) {
      const byte = this.byte();
      low |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) return BigInt(low);
    }
    let value = BigInt(low);
    for (let i = 4; i < 10; i++) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << BigInt(7 * i);
      if (byte < 0x80) {
        if (value > 0xffffffffffffffffn) this.fail('a varint within 64 bits', 'a larger one');
        return value;
      }
    }
    return this.fail('a varint of at most 10 bytes', 'a longer one');
  }

  expectWire(wire: number, expected: number): void {
    if (wire !== expected) this.fail(`wire type ${expected}`, `${wire}`);
  }

  /** Counts decoded bytes against the limit for one model. */
  charge(bytes: number): void {
    this.metadataBytes += bytes;
    if (this.metadataBytes > MAX_METADATA_BYTES) {
      throw new GyrfalconError(
        'LIMIT_EXCEEDED',
        `expected at most ${MAX_METADATA_BYTES} bytes of names, attributes and small tensors ` +
          `but received more${this.where()}`,
      );
    }
  }

  /** @throws ONNX_INVALID naming the field and the byte. */
  fail(expected: string, received: string): never {
    throw new GyrfalconError(
      'ONNX_INVALID',
      `expected ${expected} but received ${received}${this.where()}`,
    );
  }

  /** ` in graph.node at byte 12`, for error texts. */
  where(): string {
    const place = this.trail.length === 0 ? 'the model' : this.trail.join('.');
    return ` in ${place} at byte ${this.position}`;
  }

  private bytesView(wire: number, end: number, limit: number): Uint8Array {
    this.expectWire(wire, Wire.bytes);
    const length = end - this.position;
    if (length > limit) {
      throw new GyrfalconError(
        'LIMIT_EXCEEDED',
        `expected at most ${limit} bytes but received ${length}${this.where()}`,
      );
    }
    this.charge(length);
    return this.take(length);
  }

  private tag(): number {
    if (this.position < this.end) {
      // Nearly every tag is one byte.
      const byte = this.source.byteAt(this.position);
      if (byte < 0x80) {
        this.position++;
        return byte;
      }
    }
    const tag = this.varint();
    if (tag > 0xffffffffn) this.fail('a field tag within 32 bits', `${tag}`);
    return Number(tag);
  }

  private bounded(end: number, read: () => void): void {
    const outerEnd = this.end;
    this.end = end;
    read();
    this.end = outerEnd;
  }

  private byte(): number {
    if (this.position >= this.end) this.fail('another byte', 'the end of the message');
    return this.source.byteAt(this.position++);
  }

  private skipScalar(wire: number): void {
    if (wire === Wire.varint) this.varint();
    else this.take(wire === Wire.fixed32 ? 4 : 8);
  }
}
