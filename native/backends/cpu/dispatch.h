// Which CPU backends can run: the decisions behind backends/lookup.h as functions of what the CPU
// offers, so that tests can ask about CPUs that are not there.
#ifndef GYRFALCON_BACKENDS_CPU_DISPATCH_H_
#define GYRFALCON_BACKENDS_CPU_DISPATCH_H_

#include <string>
#include <string_view>
#include <vector>

#include "backends/lookup.h"

namespace gyrfalcon {

// x86-64 only; all false and 0 elsewhere. The `os_` fields say that the operating system saves the
// registers on a context switch (XCR0): without it the instructions fault.
struct CpuFeatures {
  bool intel = false;
  int amd_family = 0;  // as CPUID counts: 0x19 is Zen 3 and 4, 0x1a Zen 5; 0 for other makers
  bool fma = false;
  bool f16c = false;
  bool avx2 = false;
  bool avx512f = false;
  bool avx512bw = false;
  bool avx512vl = false;
  bool avx512dq = false;
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool amx_bf16 = false;
  bool amx_int8 = false;
  bool os_ymm = false;
  bool os_zmm = false;
  bool os_tiles = false;  // a process has to ask for them besides: AllowTiles
};

CpuFeatures DetectCpu();

// Asks the operating system to let this process use AMX's tiles, which are large: Linux saves them
// only for processes that asked (arch_prctl, ARCH_REQ_XCOMP_PERM). False: refused, because a thread
// has a signal stack that is too small for them, say. All threads may use them from then on.
bool AllowTiles();

// Names this machine's kind of CPU in one line: brand and signature on x86-64, MIDR on AArch64.
std::string CpuIdentity();

struct LookupChoices {
  std::vector<LookupBackend> backends;     // best first
  std::vector<BackendReason> unavailable;  // known backends that are not in `backends`
};

LookupChoices ChooseLookupBackends(const CpuFeatures& cpu);

// The entry of `backends` that `forced` names; the first one when `forced` is null or empty; null
// when there is none of that name.
const LookupBackend* SelectLookupBackend(const std::vector<LookupBackend>& backends,
                                         const char* forced);

// The same, of this machine's backends and GYRFALCON_CPU_ISA as it is now.
const LookupBackend* SelectLookupBackendFromEnvironment();

}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_CPU_DISPATCH_H_
