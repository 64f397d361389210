#include "backends/cuda/cache_trace.h"

#include <algorithm>
#include <functional>
#include <list>
#include <random>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "backends/cuda/row_cache.h"

namespace gyrfalcon::cuda {
namespace {

void ReplayPolicy(const std::vector<int32_t>& ids, int64_t warm_up, const CacheGeometry& geometry,
                  CacheTraceResult* result) {
  RowCachePolicy policy(geometry);
  std::minstd_rand random(1);
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto row = static_cast<uint32_t>(ids[i]);
    const bool hit = policy.SlotOf(row) != RowCachePolicy::kNoSlot;
    if (static_cast<int64_t>(i) >= warm_up && hit) ++result->hits;
    if (random() % policy.sampled() == 0) policy.Touch(row);
    if ((i + 1) % RowCache::kRoundLookups != 0) continue;
    for (const CacheReplacement& replacement : policy.Plan(RowCache::kRoundRows)) {
      if (replacement.evicts) ++result->evictions;
      policy.Remove(replacement.slot);
      policy.Insert(replacement.slot, replacement.row);
      ++result->insertions;
    }
  }
}

int64_t LruHits(const std::vector<int32_t>& ids, int64_t warm_up, int64_t slots) {
  std::list<int32_t> order;  // the most recent first
  std::unordered_map<int32_t, std::list<int32_t>::iterator> held;
  int64_t hits = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto found = held.find(ids[i]);
    if (found != held.end()) {
      if (static_cast<int64_t>(i) >= warm_up) ++hits;
      order.splice(order.begin(), order, found->second);
      continue;
    }
    if (static_cast<int64_t>(held.size()) == slots) {
      held.erase(order.back());
      order.pop_back();
    }
    order.push_front(ids[i]);
    held.emplace(ids[i], order.begin());
  }
  return hits;
}

int64_t TopHits(const std::vector<int32_t>& ids, int64_t warm_up, int64_t slots) {
  struct Row {
    int64_t count;
    int32_t id;
    bool operator>(const Row& other) const {
      return count != other.count ? count > other.count : id < other.id;
    }
  };
  std::unordered_map<int32_t, int64_t> counts;
  for (const int32_t id : ids) ++counts[id];
  std::vector<Row> rows;
  rows.reserve(counts.size());
  for (const auto& [id, count] : counts) rows.push_back({count, id});
  if (slots < static_cast<int64_t>(rows.size())) {
    std::nth_element(rows.begin(), rows.begin() + slots, rows.end(), std::greater<>());
    rows.resize(static_cast<size_t>(slots));
  }
  std::unordered_set<int32_t> top;
  for (const Row& row : rows) top.insert(row.id);
  int64_t hits = 0;
  for (auto i = static_cast<size_t>(warm_up); i < ids.size(); ++i) {
    if (top.contains(ids[i])) ++hits;
  }
  return hits;
}

}  // namespace

Result<CacheTraceResult> TraceCache(const std::vector<int32_t>& ids, int64_t table_rows,
                                    int64_t cache_rows, int64_t warm_up) {
  const Result<CacheGeometry> geometry = CacheGeometry::Make(table_rows, cache_rows);
  if (!geometry.ok()) return geometry.status();
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] < table_rows) continue;
    return Status(ErrorCode::kIndexOutOfRange,
                  "expected ids from 0 to " + std::to_string(table_rows - 1) + " but received " +
                      std::to_string(ids[i]) + " at position " + std::to_string(i));
  }
  CacheTraceResult result;
  result.slots = geometry.value().slots();
  result.counted = std::max<int64_t>(static_cast<int64_t>(ids.size()) - warm_up, 0);
  ReplayPolicy(ids, warm_up, geometry.value(), &result);
  result.lru_hits = LruHits(ids, warm_up, result.slots);
  result.top_hits = TopHits(ids, warm_up, result.slots);
  return result;
}

}  // namespace gyrfalcon::cuda
