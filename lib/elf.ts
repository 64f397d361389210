/** What a Linux library says about itself before it is opened. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const HEADER_BYTES = 64;
/** e_machine of Node's architectures. */
const MACHINES: Readonly<Record<number, string>> = { 62: 'x64', 183: 'arm64' };

/**
 * Why a library must not be opened, or undefined. The system's loader maps a file as long as its
 * headers claim: touching what was cut off ends the process with SIGBUS. Files that are no 64-bit
 * little-endian ELF are left to it.
 */
export function elfProblem(path: string, arch: string): string | undefined {
  const header = Buffer.alloc(HEADER_BYTES);
  const file = openSync(path, 'r');
  let size: number;
  try {
    size = fstatSync(file).size;
    if (readSync(file, header, 0, HEADER_BYTES, 0) < HEADER_BYTES) return undefined;
  } finally {
    closeSync(file);
  }
  // The magic number, then ELFCLASS64 and ELFDATA2LSB.
  if (header.readUInt32BE(0) !== 0x7f454c46 || header.readUInt16BE(4) !== 0x0201) return undefined;
  const machine = MACHINES[header.readUInt16LE(18)];
  if (machine !== undefined && machine !== arch) {
    return `built for ${machine}, this is ${arch}`;
  }
  // Linkers and strip put the section headers last: e_shoff + e_shentsize * e_shnum.
  const end =
    header.readBigUInt64LE(40) + BigInt(header.readUInt16LE(58) * header.readUInt16LE(60));
  return end > BigInt(size) ? `cut: expected ${end} bytes but received ${size}` : undefined;
}
