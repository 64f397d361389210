// Of a request that had an id out of range.
#ifndef GYRFALCON_BACKENDS_CUDA_LOOKUP_FAULTS_H_
#define GYRFALCON_BACKENDS_CUDA_LOOKUP_FAULTS_H_

#include "backends/lookup.h"

namespace gyrfalcon::cuda {

// Reads the value at a report's position from the group's memory on the host; where positions were
// too many for the device's report, looks for it from there on. Another thread may have written
// since: the value is then what is there now.
void FindBadId(const BagGroup& group, LookupReport* report);

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_LOOKUP_FAULTS_H_
