// The entry point of every CPU backend; backends/lookup.h has the contract. Call only what the CPU
// can execute. They add to report->zeroed and set the rest of the report only when they fail.
#ifndef GYRFALCON_BACKENDS_CPU_LOOKUP_KERNELS_H_
#define GYRFALCON_BACKENDS_CPU_LOOKUP_KERNELS_H_

#include "backends/lookup.h"

namespace gyrfalcon {

// How far ahead each backend prefetches at least, in 64-byte lines. AVX-512 on Zen 4, f32, bags of
// 20, nanoseconds a row of 256 and 512 bytes: 13 and 27 from memory at 96 lines, 12 and 24 to 25 at
// 192 and 384 (8.5, and 19 and 18, under Zipf 1.05; lower decile of 60 rounds in turns). The
// distance depends on memory, not on the width of vectors.
inline constexpr int64_t kAvx512PrefetchLines = 192;
inline constexpr int64_t kAvx2PrefetchLines = 192;
inline constexpr int64_t kScalarPrefetchLines = 64;  // rows take longer, so fewer lines suffice
inline constexpr int64_t kNeonPrefetchLines = 64;    // not measured: emulated only

void RunLookupReference(const LookupRequest& request, LookupReport* report);
void RunLookupScalar(const LookupRequest& request, LookupReport* report);
#if defined(__x86_64__)
void RunLookupAvx2(const LookupRequest& request, LookupReport* report);
void RunLookupAvx512(const LookupRequest& request, LookupReport* report);
#elif defined(__aarch64__)
void RunLookupNeon(const LookupRequest& request, LookupReport* report);
#endif

}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_CPU_LOOKUP_KERNELS_H_
