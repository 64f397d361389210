// How the rows of a table lie on a device: see lookup_args.h.
#ifndef GYRFALCON_BACKENDS_CUDA_DEVICE_ROWS_H_
#define GYRFALCON_BACKENDS_CUDA_DEVICE_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace gyrfalcon::cuda {

struct DeviceRowLayout {
  uint32_t values = 0;  // bytes
  uint32_t scale = 0;   // bytes from the row's start; 0 where there is none
  uint32_t stride = 0;  // bytes between rows, a multiple of 16
};

// Precondition: 0 < dim <= limits::kMaxDim.
DeviceRowLayout LayoutOf(Storage storage, int64_t dim);

// `rows` rows as they lie on the host, RowBytes apart, to rows `stride` apart. Padding is zeroed.
void PackDeviceRows(const std::byte* from, int64_t rows, int64_t dim, Storage storage,
                    std::byte* to);

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_DEVICE_ROWS_H_
