/**
 * What driver and sides say to each other over standard input and output: a JSON header and bytes,
 * each led by its length (u32, little-endian).
 */
import type { Readable, Writable } from 'node:stream';

export interface Frame {
  readonly header: Record<string, unknown>;
  readonly payload: Buffer;
}

export function encodeFrame(
  header: Record<string, unknown>,
  parts: readonly ArrayBufferView[] = [],
): Buffer[] {
  const text = Buffer.from(JSON.stringify(header), 'utf8');
  const bytes = parts.map((part) => Buffer.from(part.buffer, part.byteOffset, part.byteLength));
  const lead = Buffer.alloc(8);
  lead.writeUInt32LE(text.byteLength, 0);
  lead.writeUInt32LE(
    bytes.reduce((sum, part) => sum + part.byteLength, 0),
    4,
  );
  return [lead, text, ...bytes];
}

export function writeFrame(
  stream: Writable,
  header: Record<string, unknown>,
  parts: readonly ArrayBufferView[] = [],
): void {
  for (const part of encodeFrame(header, parts)) stream.write(part);
}

/** Frames as they arrive; ends with the stream. A frame cut short is dropped. */
export async function* readFrames(stream: Readable): AsyncGenerator<Frame> {
  let chunks: Buffer[] = [];
  let held = 0;
  const take = (bytes: number): Buffer => {
    const all = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    chunks = [all.subarray(bytes)];
    held -= bytes;
    return all.subarray(0, bytes);
  };
  let lengths: { text: number; payload: number } | undefined;
  for await (const chunk of stream) {
    chunks.push(chunk as Buffer);
    held += (chunk as Buffer).byteLength;
    for (;;) {
      if (lengths === undefined) {
        if (held < 8) break;
        const lead = take(8);
        lengths = { text: lead.readUInt32LE(0), payload: lead.readUInt32LE(4) };
      }
      if (held < lengths.text + lengths.payload) break;
      const header = JSON.parse(take(lengths.text).toString('utf8')) as Frame['header'];
      const payload = take(lengths.payload);
      lengths = undefined;
      yield { header, payload };
    }
  }
}

/** A copy that is aligned, whatever the payload's place in its buffer. */
export function floats(payload: Buffer): Float32Array {
  return new Float32Array(
    payload.buffer.slice(payload.byteOffset, payload.byteOffset + payload.byteLength),
  );
}

export function doubles(payload: Buffer): Float64Array {
  return new Float64Array(
    payload.buffer.slice(payload.byteOffset, payload.byteOffset + payload.byteLength),
  );
}
