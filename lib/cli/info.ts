/** `gyrfalcon info` */
import type { Capabilities } from '../index.js';
import { type Io, write } from './io.js';
import { printable } from './text.js';

export async function info(flags: { json?: boolean }, io: Io): Promise<void> {
  const { capabilities } = await import('../index.js');
  const found = capabilities();
  const text = flags.json === true ? `${JSON.stringify(found)}\n` : printable(renderInfo(found));
  await write(io.stdout, text);
}

export function renderInfo(found: Capabilities): string {
  const { cpu } = found;
  const lines = [
    `gyrfalcon ${found.version}, Node ${found.node}, ${found.platform}-${found.arch}`,
    `cpu: ${cpu.model}, ${cpu.cores} cores`,
    `kernels: ${cpu.isa ?? 'none'} (available: ${cpu.available.join(', ') || 'none'})`,
    `products: ${cpu.products ?? 'none'}`,
    ...cpu.unavailable.map(({ name, reason }) => `  ${name}: not available: ${reason}`),
    'devices:',
    ...found.devices.map((device) => `  ${device.name}: ${availability(device)}`),
    'engines:',
    ...found.engines.map((engine) => `  ${engine.name}: ${availability(engine)}`),
  ];
  return `${lines.join('\n')}\n`;
}

function availability(part: {
  available: boolean;
  version?: string | undefined;
  library?: string | undefined;
  reason?: string | undefined;
}): string {
  if (!part.available) return `not available: ${part.reason ?? 'no reason known'}`;
  return ['available', part.version, part.library].filter((text) => text !== undefined).join(', ');
}
