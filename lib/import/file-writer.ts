/** Writes one new file from front to back, counting and hashing what goes through. */
import { type FileHandle, open } from 'node:fs/promises';

import type { ContentHash } from './codec.js';
import { ioError } from './onnx/byte-source.js';

export class FileWriter {
  bytes = 0;

  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
    private readonly hash: ContentHash | undefined,
  ) {}

  /** Creates `path`, which must not exist. @throws IO_ERROR */
  static async create(path: string, hash?: ContentHash): Promise<FileWriter> {
    try {
      return new FileWriter(path, await open(path, 'wx'), hash);
    } catch (cause) {
      throw ioError(`cannot create ${path}`, cause);
    }
  }

  /** Returns once the bytes are handed to the system; `bytes` may be reused then. */
  async write(bytes: Uint8Array): Promise<void> {
    this.hash?.update(bytes);
    let done = 0;
    try {
      while (done < bytes.byteLength) {
        const { bytesWritten } = await this.handle.write(bytes, done, bytes.byteLength - done);
        done += bytesWritten;
      }
    } catch (cause) {
      throw ioError(`cannot write ${this.path}`, cause);
    }
    this.bytes += bytes.byteLength;
  }

  /** Makes the file durable and closes it. */
  async finish(): Promise<void> {
    try {
      await this.handle.sync();
    } catch (cause) {
      throw ioError(`cannot sync ${this.path}`, cause);
    } finally {
      await this.handle.close();
    }
  }

  /** Closes without making durable; for failures. */
  async abandon(): Promise<void> {
    await this.handle.close().catch(() => undefined);
  }
}
