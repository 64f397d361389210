// How often rows were asked for lately, roughly: a count-min sketch whose counters are halved now
// and then. It never says less than a row's own touches since, up to its limit.
#ifndef GYRFALCON_BACKENDS_CUDA_FREQUENCY_SKETCH_H_
#define GYRFALCON_BACKENDS_CUDA_FREQUENCY_SKETCH_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gyrfalcon::cuda {

class FrequencySketch {
 public:
  static constexpr uint32_t kMost = 255;

  // For `slots` rows that matter: kCounters of a byte for each, halved after kWindow touches
  // for each.
  explicit FrequencySketch(int64_t slots)
      : counters_(std::bit_ceil(static_cast<size_t>(std::max<int64_t>(slots, 64) * kCounters))),
        window_(std::max<int64_t>(slots, 64) * kWindow) {}

  void Add(uint32_t row, uint32_t times = 1) {
    const std::array<size_t, kDepth> at = Places(row);
    const uint32_t grown = std::min(Least(at) + times, kMost);
    // Counters that others share and raised already stay as they are.
    for (const size_t i : at) {
      counters_[i] = std::max(counters_[i], static_cast<uint8_t>(grown));
    }
    touches_ += times;
    if (touches_ >= window_) Halve();
  }

  uint32_t Count(uint32_t row) const { return Least(Places(row)); }

 private:
  static constexpr int kDepth = 4;
  static constexpr int64_t kCounters = 16;  // for each slot
  static constexpr int64_t kWindow = 32;

  std::array<size_t, kDepth> Places(uint32_t row) const {
    std::array<size_t, kDepth> at;
    uint64_t x = row * uint64_t{0x9e3779b97f4a7c15} + 0x632be59bd9b4e019;
    for (size_t& place : at) {
      x = (x ^ (x >> 31)) * uint64_t{0xbf58476d1ce4e5b9};
      x ^= x >> 29;
      place = static_cast<size_t>(x) & (counters_.size() - 1);
    }
    return at;
  }

  uint32_t Least(const std::array<size_t, kDepth>& at) const {
    uint32_t least = kMost;
    for (const size_t i : at) least = std::min<uint32_t>(least, counters_[i]);
    return least;
  }

  void Halve() {
    for (uint8_t& counter : counters_) counter = static_cast<uint8_t>(counter >> 1);
    touches_ = 0;
  }

  std::vector<uint8_t> counters_;
  int64_t window_;
  int64_t touches_ = 0;
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_FREQUENCY_SKETCH_H_
