#include "backends/cuda/device_rows.h"

#include <cstring>

#include "backends/cuda/lookup_args.h"

namespace gyrfalcon::cuda {
namespace {

constexpr uint32_t RoundUp(uint32_t value, uint32_t unit) {
  return (value + unit - 1) / unit * unit;
}

}  // namespace

DeviceRowLayout LayoutOf(Storage storage, int64_t dim) {
  const auto d = static_cast<uint32_t>(dim);
  DeviceRowLayout layout;
  switch (storage) {
    case Storage::kF32:
      layout.values = 4 * d;
      break;
    case Storage::kF16:
    case Storage::kBF16:
      layout.values = 2 * d;
      break;
    case Storage::kInt8:
      layout.values = d;
      break;
    case Storage::kInt4:
      layout.values = (d + 1) / 2;
      break;
  }
  // What lies behind the values in a host's row: scale and bias.
  const auto tail = static_cast<uint32_t>(RowBytes(storage, dim)) - layout.values;
  if (tail > 0) layout.scale = RoundUp(layout.values, tail);
  layout.stride = RoundUp(tail > 0 ? layout.scale + tail : layout.values, kChunkBytes);
  return layout;
}

void PackDeviceRows(const std::byte* from, int64_t rows, int64_t dim, Storage storage,
                    std::byte* to) {
  const DeviceRowLayout layout = LayoutOf(storage, dim);
  const size_t bytes = RowBytes(storage, dim);
  const size_t tail = bytes - layout.values;
  for (int64_t row = 0; row < rows; ++row, from += bytes, to += layout.stride) {
    std::memcpy(to, from, layout.values);
    size_t end = layout.values;
    if (tail > 0) {
      std::memset(to + end, 0, layout.scale - end);
      std::memcpy(to + layout.scale, from + layout.values, tail);
      end = layout.scale + tail;
    }
    std::memset(to + end, 0, layout.stride - end);
  }
}

}  // namespace gyrfalcon::cuda
