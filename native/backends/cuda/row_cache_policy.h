// Which rows a cache holds, and which it should: least frequently used goes, by touches that are
// sampled and whose weight halves with time. Knows nothing of devices; one caller at a time.
#ifndef GYRFALCON_BACKENDS_CUDA_ROW_CACHE_POLICY_H_
#define GYRFALCON_BACKENDS_CUDA_ROW_CACHE_POLICY_H_

#include <cstddef>
#include <cstdint>
#include <unordered_set>
#include <vector>

#include "backends/cuda/frequency_sketch.h"
#include "backends/cuda/row_cache_geometry.h"

namespace gyrfalcon::cuda {

struct CacheReplacement {
  uint32_t slot = 0;
  uint32_t row = 0;     // that is to be there
  bool evicts = false;  // another row is there now
};

class RowCachePolicy {
 public:
  static constexpr uint32_t kNoSlot = 0xffffffff;
  static constexpr uint32_t kSampled = 16;  // powers of two
  static constexpr uint32_t kSampledFilling = 2;

  explicit RowCachePolicy(const CacheGeometry& geometry);

  const CacheGeometry& geometry() const { return geometry_; }

  // Tags as the device has them or is about to: [sets][8].
  const std::vector<uint16_t>& tags() const { return tags_; }
  int64_t occupied() const { return occupied_; }
  uint32_t SlotOf(uint32_t row) const;

  // The row was asked for.
  void Touch(uint32_t row, uint32_t times = 1);

  // Of so many touches one is to be sampled: more of them while there is room.
  uint32_t sampled() const {
    return occupied_ < geometry_.slots() / 8 * 7 ? kSampledFilling : kSampled;
  }

  // At most `most` replacements, each of another slot, of rows touched since the last plan that
  // came more often than what they take the place of. The most frequent first. Changes nothing
  // that is held.
  std::vector<CacheReplacement> Plan(size_t most);

  // A free slot of the row's set that is not among `taken`, or kNoSlot.
  uint32_t FreeSlot(uint32_t row, const std::unordered_set<uint32_t>& taken) const;

  void Remove(uint32_t slot);
  // Precondition: the slot is free and in the row's set, and the row is not held.
  void Insert(uint32_t slot, uint32_t row);

 private:
  uint32_t RowIn(uint32_t slot) const;
  // The slot of the row's set, not among `taken`, whose row came least often, if less than `below`.
  uint32_t LeastFrequent(uint32_t row, uint32_t below,
                         const std::unordered_set<uint32_t>& taken) const;

  CacheGeometry geometry_;
  std::vector<uint16_t> tags_;
  FrequencySketch frequency_;
  std::vector<uint32_t> missed_;  // touched since the last plan and not held
  int64_t occupied_ = 0;
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_ROW_CACHE_POLICY_H_
