import { cpus } from 'node:os';
import { probeCudaSync } from './cuda-probe.js';
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
    /** That of the fused engine's matrix products: 'amx' where a CPU with AVX-512 has it too. */
    products: string | null;
    available: string[];
    unavailable: { name: string; reason: string }[];
    /**
     * Cache lines that lookups prefetch ahead, in which order (GYRFALCON_PREFETCH), and who said so;
     * null as `isa`.
     */
    prefetch: {
      lines: number;
      order: 'bursts' | 'steady' | 'near' | 'mixed';
      source: 'default' | 'environment' | 'cached' | 'tuned';
    } | null;
  };
  /** The CPU, and each CUDA device; or 'cuda' by itself, with the reason why there is none. */
  devices: {
    name: string;
    available: boolean;
    reason?: string;
    model?: string;
    computeCapability?: string;
    memoryBytes?: number;
    /** The newest CUDA version that the driver supports. */
    driverVersion?: string;
  }[];
  engines: {
    name: string;
    available: boolean;
    version?: string;
    library?: string;
    reason?: string;
  }[];
}

/**
 * What can run here, and for what cannot, why. The first call tries the CUDA driver, if there can be
 * one, in a child process, which takes as long as the driver needs.
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
    devices: [{ name: 'cpu', available: true }, ...cudaDevices()],
    engines: [{ name: 'fused', available: true, version: addon.version }, onnxRuntime()],
  };
}

function cudaDevices(): Capabilities['devices'] {
  const { reason, driverVersion, devices } = probeCudaSync();
  if (reason !== undefined) return [{ name: 'cuda', available: false, reason }];
  const version = `${Math.floor(driverVersion / 1000)}.${Math.floor((driverVersion % 1000) / 10)}`;
  return devices.map(({ ordinal, ...device }) => ({
    name: `cuda:${ordinal}`,
    available: device.reason === undefined,
    driverVersion: version,
    ...device,
  }));
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
