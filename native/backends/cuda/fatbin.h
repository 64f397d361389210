// The kernels as they travel inside the addon.
#ifndef GYRFALCON_BACKENDS_CUDA_FATBIN_H_
#define GYRFALCON_BACKENDS_CUDA_FATBIN_H_

#include <cstddef>
#include <span>

namespace gyrfalcon::cuda {

// Machine code for each architecture and PTX, in one fatbin; empty when this build has none.
std::span<const std::byte> Fatbin();

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_FATBIN_H_
