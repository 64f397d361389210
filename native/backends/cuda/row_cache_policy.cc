#include "backends/cuda/row_cache_policy.h"

#include <algorithm>
#include <tuple>

namespace gyrfalcon::cuda {
namespace {

// Touches of rows that are not held, kept until the next plan. More of them are counted in the
// sketch only; they are planned for when they come again.
constexpr size_t kMostMissed = size_t{1} << 20;

}  // namespace

RowCachePolicy::RowCachePolicy(const CacheGeometry& geometry)
    : geometry_(geometry),
      tags_(static_cast<size_t>(geometry.slots()), static_cast<uint16_t>(kNoTag)),
      frequency_(geometry.slots()) {}

uint32_t RowCachePolicy::SlotOf(uint32_t row) const {
  const CachePlace place = geometry_.PlaceOf(row);
  const uint32_t first = place.set * kCacheWays;
  for (uint32_t slot = first; slot < first + kCacheWays; ++slot) {
    if (tags_[slot] == place.tag) return slot;
  }
  return kNoSlot;
}

uint32_t RowCachePolicy::RowIn(uint32_t slot) const {
  return geometry_.RowAt({slot / kCacheWays, tags_[slot]});
}

void RowCachePolicy::Touch(uint32_t row, uint32_t times) {
  frequency_.Add(row, times);
  if (missed_.size() < kMostMissed && SlotOf(row) == kNoSlot) missed_.push_back(row);
}

uint32_t RowCachePolicy::FreeSlot(uint32_t row, const std::unordered_set<uint32_t>& taken) const {
  const uint32_t first = geometry_.PlaceOf(row).set * kCacheWays;
  for (uint32_t slot = first; slot < first + kCacheWays; ++slot) {
    if (tags_[slot] == kNoTag && !taken.contains(slot)) return slot;
  }
  return kNoSlot;
}

uint32_t RowCachePolicy::LeastFrequent(uint32_t row, uint32_t below,
                                       const std::unordered_set<uint32_t>& taken) const {
  const uint32_t first = geometry_.PlaceOf(row).set * kCacheWays;
  uint32_t best = kNoSlot;
  for (uint32_t slot = first; slot < first + kCacheWays; ++slot) {
    if (tags_[slot] == kNoTag || taken.contains(slot)) continue;
    const uint32_t count = frequency_.Count(RowIn(slot));
    if (count >= below) continue;
    below = count;
    best = slot;
  }
  return best;
}

std::vector<CacheReplacement> RowCachePolicy::Plan(size_t most) {
  struct Candidate {
    uint32_t count;
    uint32_t row;
  };
  std::sort(missed_.begin(), missed_.end());
  missed_.erase(std::unique(missed_.begin(), missed_.end()), missed_.end());
  std::vector<Candidate> candidates;
  for (const uint32_t row : missed_) {
    if (SlotOf(row) == kNoSlot) candidates.push_back({frequency_.Count(row), row});
  }
  missed_.clear();
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(b.count, a.row) < std::tie(a.count, b.row);
  });
  std::vector<CacheReplacement> plan;
  std::unordered_set<uint32_t> taken;
  for (const Candidate& candidate : candidates) {
    if (plan.size() == most) break;
    uint32_t best = FreeSlot(candidate.row, taken);
    const bool evicts = best == kNoSlot;
    if (evicts) best = LeastFrequent(candidate.row, candidate.count, taken);
    if (best == kNoSlot) continue;
    taken.insert(best);
    plan.push_back({best, candidate.row, evicts});
  }
  return plan;
}

void RowCachePolicy::Remove(uint32_t slot) {
  if (tags_[slot] == kNoTag) return;
  tags_[slot] = static_cast<uint16_t>(kNoTag);
  --occupied_;
}

void RowCachePolicy::Insert(uint32_t slot, uint32_t row) {
  tags_[slot] = static_cast<uint16_t>(geometry_.PlaceOf(row).tag);
  ++occupied_;
}

}  // namespace gyrfalcon::cuda
