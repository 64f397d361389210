// The entry point of every CPU backend; backends/lookup.h has the contract. Call only what the CPU
// can execute. They add to report->zeroed and set the rest of the report only when they fail.
#ifndef GYRFALCON_BACKENDS_CPU_LOOKUP_KERNELS_H_
#define GYRFALCON_BACKENDS_CPU_LOOKUP_KERNELS_H_

#include "backends/lookup.h"

namespace gyrfalcon {

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
