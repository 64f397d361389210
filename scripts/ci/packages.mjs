// The Debian packages that building and testing need, beyond Node.
import { spawnSync } from 'node:child_process';
import { run } from './tools.mjs';

const PACKAGES = [
  'binutils',
  // The stage packaging compiles the addon's sources twice.
  'ccache',
  'clang-format',
  'cmake',
  'g++',
  'g++-aarch64-linux-gnu',
  'libbenchmark-dev',
  'libgtest-dev',
  'ninja-build',
  'python3',
  'qemu-user',
];

function isInstalled(name) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's placeholder
  const format = '-f=${Status}';
  const { stdout, error } = spawnSync('dpkg-query', ['-W', format, name], {
    encoding: 'utf8',
  });
  if (error) throw new Error('expected a Debian system: dpkg-query is not there');
  return stdout === 'install ok installed';
}

/** Installs what is missing when it may, else fails with the command to run. */
export function ensurePackages() {
  const missing = PACKAGES.filter((name) => !isInstalled(name));
  if (missing.length > 0) {
    const install = ['install', '-y', '--no-install-recommends', ...missing];
    if (process.getuid() !== 0) {
      throw new Error(`missing Debian packages; run: sudo apt-get ${install.join(' ')}`);
    }
    const env = { DEBIAN_FRONTEND: 'noninteractive' };
    run('apt-get', ['update', '-q'], { env });
    run('apt-get', install, { env });
  }
  console.log(`${PACKAGES.length} packages, ${missing.length} of them installed now`);
  return { passed: 1, failed: 0 };
}
