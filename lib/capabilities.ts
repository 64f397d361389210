import { cpus } from 'node:os';
import { native } from './native.js';
import { findOrtLibrary } from './ort-library.js';

export interface Capabilities {
  version: string;
  node: string;
  platform: string;
  arch: string;
  cpu: {
    model: string;
    cores: number;
    /** Instruction set of the lookup kernels in use; null if GYRFALCON_CPU_ISA names none. */
    isa: string | null;
    available: string[];
    unavailable: { name: string; reason: string }[];
    /** Cache lines that lookups prefetch ahead, and who said so; null as `isa`. */
    prefetch: { lines: number; source: 'default' | 'environment' | 'cached' | 'tuned' } | null;
  };
  devices: { name: string; available: boolean; reason?: string }[];
  engines: {
    name: string;
    available: boolean;
    version?: string;
    library?: string;
    reason?: string;
  }[];
}

/**
 * What can run here, and for what cannot, why.
 * @throws NATIVE_UNAVAILABLE
 */
export function capabilities(): Capabilities {
  const addon = native();
  const cores = cpus();
  return {
    version: addon.version,
    node: process.version,
    platform: process.platform,
    arch: process.arch,
    cpu: { model: cores[0]?.model ?? 'unknown', cores: cores.length, ...addon.cpu() },
    devices: [
      { name: 'cpu', available: true },
      { name: 'cuda', available: false, reason: 'this build has no CUDA backend' },
    ],
    engines: [{ name: 'fused', available: true, version: addon.version }, onnxRuntime()],
  };
}

function onnxRuntime(): Capabilities['engines'][number] {
  try {
    const library = findOrtLibrary();
    const version = native().ortVersion(library);
    return { name: 'onnxruntime', available: true, version, library };
  } catch (error) {
    return { name: 'onnxruntime', available: false, reason: (error as Error).message };
  }
}
