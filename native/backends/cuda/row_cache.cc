#include "backends/cuda/row_cache.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <unordered_set>

#include "backends/cuda/device_rows.h"

namespace gyrfalcon::cuda {
namespace {

// What a row counts for that was named as hot.
constexpr uint32_t kWarmTouches = 4;
constexpr uint32_t kSeedStep = 0x9e3779b9;

class ClosedFence {
 public:
  explicit ClosedFence(LookupFence* fence) : fence_(fence) { fence_->Close(); }
  ~ClosedFence() { fence_->Open(); }
  ClosedFence(const ClosedFence&) = delete;
  ClosedFence& operator=(const ClosedFence&) = delete;

 private:
  LookupFence* fence_;
};

std::vector<uint32_t> SlotsOf(const std::vector<CacheReplacement>& rows) {
  std::vector<uint32_t> slots;
  slots.reserve(rows.size());
  for (const CacheReplacement& row : rows) slots.push_back(row.slot);
  return slots;
}

}  // namespace

RowCache::RowCache(const CachedShape& table, const CacheGeometry& geometry,
                   const CacheMemory& memory, CacheDevice* device, LookupFence* fence)
    : table_(table),
      memory_(memory),
      device_(device),
      fence_(fence),
      stride_(LayoutOf(table.storage, table.dim).stride),
      policy_(geometry) {}

Result<std::unique_ptr<RowCache>> RowCache::Make(const CachedShape& table,
                                                 const CacheGeometry& geometry,
                                                 const CacheMemory& memory, CacheDevice* device,
                                                 LookupFence* fence) {
  std::unique_ptr<RowCache> cache(new RowCache(table, geometry, memory, device, fence));
  GYR_RETURN_IF_ERROR(cache->Start());
  return cache;
}

Status RowCache::Start() {
  const CacheGeometry& geometry = policy_.geometry();
  stats_.slots = geometry.slots();
  std::fill_n(memory_.ring, kTouchRing, kNoTouch);
  args_.rows = memory_.rows_address;
  args_.tags = memory_.tags_address;
  args_.reciprocal = geometry.reciprocal();
  args_.ring = memory_.ring_address;
  args_.sets = geometry.sets;
  args_.mask = geometry.mask;
  args_.shift = geometry.shift;
  args_.sample_mask = policy_.sampled() - 1;
  args_.ring_mask = kTouchRing - 1;
  const std::vector<uint16_t>& tags = policy_.tags();
  GYR_RETURN_IF_ERROR(
      device_->Write(memory_.tags_address, tags.data(), tags.size() * sizeof(tags[0])));
  GYR_RETURN_IF_ERROR(device_->Write(memory_.args_address, &args_, sizeof(args_)));
  return device_->Finish();
}

std::byte* RowCache::RowOf(uint32_t row) const { return memory_.table + size_t{row} * stride_; }

// A touch that the device writes over one that is being taken is lost, as if it had not been
// sampled.
void RowCache::TakeTouches() {
  for (uint32_t i = 0; i < kTouchRing; ++i) {
    const std::atomic_ref<uint32_t> entry(memory_.ring[i]);
    const uint32_t touch = entry.load(std::memory_order_relaxed);
    if (touch == kNoTouch) continue;
    entry.store(kNoTouch, std::memory_order_relaxed);
    const uint32_t row = touch & ~kTouchHit;
    if (row >= table_.rows) continue;
    ++stats_.touches;
    if ((touch & kTouchHit) != 0) ++stats_.hits;
    policy_.Touch(row);
  }
}

// Whole sets, each once.
Status RowCache::WriteTags(const std::vector<uint32_t>& slots) {
  std::vector<uint32_t> sets;
  sets.reserve(slots.size());
  for (const uint32_t slot : slots) sets.push_back(slot / kCacheWays);
  std::sort(sets.begin(), sets.end());
  sets.erase(std::unique(sets.begin(), sets.end()), sets.end());
  constexpr size_t kSetBytes = kCacheWays * sizeof(uint16_t);
  for (const uint32_t set : sets) {
    const uint16_t* const tags = policy_.tags().data() + size_t{set} * kCacheWays;
    GYR_RETURN_IF_ERROR(device_->Write(memory_.tags_address + kSetBytes * set, tags, kSetBytes));
  }
  return device_->Finish();
}

Status RowCache::CopyRows(const std::vector<CacheReplacement>& rows) {
  for (const CacheReplacement& row : rows) {
    GYR_RETURN_IF_ERROR(device_->Write(memory_.rows_address + uint64_t{row.slot} * stride_,
                                       RowOf(row.row), stride_));
  }
  return device_->Finish();
}

Status RowCache::Replace(const std::vector<CacheReplacement>& plan) {
  if (plan.empty()) return Status::Ok();
  std::vector<uint32_t> gone;
  for (const CacheReplacement& replacement : plan) {
    if (!replacement.evicts) continue;
    policy_.Remove(replacement.slot);
    gone.push_back(replacement.slot);
  }
  stats_.evictions += static_cast<int64_t>(gone.size());
  if (!gone.empty()) GYR_RETURN_IF_ERROR(WriteTags(gone));
  // Free slots too: one that an update emptied may still be read.
  fence_->Drain();
  GYR_RETURN_IF_ERROR(CopyRows(plan));
  fence_->Drain();
  for (const CacheReplacement& replacement : plan) {
    policy_.Insert(replacement.slot, replacement.row);
  }
  stats_.insertions += static_cast<int64_t>(plan.size());
  return WriteTags(SlotsOf(plan));
}

Status RowCache::Maintain() {
  const std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  TakeTouches();
  // Other positions are sampled from now on, and as many as are of use.
  args_.seed += kSeedStep;
  args_.sample_mask = policy_.sampled() - 1;
  constexpr size_t kFrom = offsetof(CacheArgs, sample_mask);
  static_assert(offsetof(CacheArgs, seed) == kFrom + sizeof(args_.sample_mask));
  failure_ = device_->Write(memory_.args_address + kFrom, &args_.sample_mask,
                            sizeof(args_.sample_mask) + sizeof(args_.seed));
  if (failure_.ok()) failure_ = device_->Finish();
  if (failure_.ok()) failure_ = Replace(policy_.Plan(kRoundRows));
  return failure_;
}

Status RowCache::Warm(const std::vector<int64_t>& ids) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < table_.rows) continue;
    return {ErrorCode::kIndexOutOfRange,
            "expected hot ids from 0 to " + std::to_string(table_.rows - 1) + " but received " +
                std::to_string(ids[i]) + " at position " + std::to_string(i)};
  }
  const std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  for (size_t next = 0; next < ids.size();) {
    std::vector<CacheReplacement> plan;
    std::unordered_set<uint32_t> rows;
    std::unordered_set<uint32_t> slots;
    for (; next < ids.size() && plan.size() < kRoundRows; ++next) {
      const auto row = static_cast<uint32_t>(ids[next]);
      policy_.Touch(row, kWarmTouches);
      if (policy_.SlotOf(row) != RowCachePolicy::kNoSlot || !rows.insert(row).second) continue;
      const uint32_t slot = policy_.FreeSlot(row, slots);
      if (slot == RowCachePolicy::kNoSlot) continue;
      slots.insert(slot);
      plan.push_back({slot, row, false});
    }
    failure_ = Replace(plan);
    if (!failure_.ok()) return failure_;
  }
  return Status::Ok();
}

Status RowCache::Update(const std::vector<int64_t>& ids, const std::byte* rows) {
  const std::lock_guard lock(mutex_);
  if (!failure_.ok()) return failure_;
  const size_t bytes = RowBytes(table_.storage, table_.dim);
  for (size_t begin = 0; begin < ids.size(); begin += kUpdateRows) {
    const size_t count = std::min(kUpdateRows, ids.size() - begin);
    GYR_RETURN_IF_ERROR(UpdateSome(ids.data() + begin, count, rows + begin * bytes));
    if (!failure_.ok() && begin + count < ids.size()) return failure_;
  }
  return Status::Ok();
}

Status RowCache::UpdateSome(const int64_t* ids, size_t count, const std::byte* rows) {
  std::vector<CacheReplacement> held;
  for (size_t i = 0; i < count; ++i) {
    const auto row = static_cast<uint32_t>(ids[i]);
    const uint32_t slot = policy_.SlotOf(row);
    if (slot == RowCachePolicy::kNoSlot) continue;
    held.push_back({slot, row, true});
    policy_.Remove(slot);
  }
  const ClosedFence closed(fence_);
  if (!held.empty()) {
    failure_ = WriteTags(SlotsOf(held));
    // Tags may be there still: the table stays as they say.
    if (!failure_.ok()) return failure_;
  }
  const size_t bytes = RowBytes(table_.storage, table_.dim);
  for (size_t i = 0; i < count; ++i) {
    PackDeviceRows(rows + i * bytes, 1, table_.dim, table_.storage,
                   RowOf(static_cast<uint32_t>(ids[i])));
  }
  stats_.updated += static_cast<int64_t>(count);
  if (held.empty()) return Status::Ok();
  // From here on the rows are updated; without their tags they are read from the table.
  failure_ = CopyRows(held);
  if (!failure_.ok()) return Status::Ok();
  for (const CacheReplacement& row : held) policy_.Insert(row.slot, row.row);
  failure_ = WriteTags(SlotsOf(held));
  return Status::Ok();
}

CacheStats RowCache::stats() const {
  const std::lock_guard lock(mutex_);
  CacheStats stats = stats_;
  stats.occupied = policy_.occupied();
  return stats;
}

}  // namespace gyrfalcon::cuda
