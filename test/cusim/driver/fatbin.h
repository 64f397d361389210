// Finds the PTX in a module's image.
#ifndef GYRFALCON_CUSIM_DRIVER_FATBIN_H_
#define GYRFALCON_CUSIM_DRIVER_FATBIN_H_

#include <cuda.h>

#include <string_view>

namespace cusim {

// Of a fatbin that was made without compression: the newest PTX for a target of at most `capability`
// (80: sm_80). An image that is PTX itself is that. CUDA_ERROR_INVALID_IMAGE,
// CUDA_ERROR_NO_BINARY_FOR_GPU.
CUresult FindPtx(const void* image, int capability, std::string_view* ptx);

}  // namespace cusim

#endif  // GYRFALCON_CUSIM_DRIVER_FATBIN_H_
