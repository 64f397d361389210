#include "backends/cuda/row_cache_geometry.h"

#include <algorithm>
#include <bit>
#include <string>

namespace gyrfalcon::cuda {
namespace {

constexpr int64_t kLeastSets = 2;

// Bits that number all rows.
int BitsFor(int64_t table_rows) {
  return std::max(1, static_cast<int>(std::bit_width(static_cast<uint64_t>(table_rows - 1))));
}

int64_t LeastSets(int64_t table_rows) {
  const int64_t numbers = int64_t{1} << BitsFor(table_rows);
  return std::max(kLeastSets, (numbers + kNoTag - 1) / kNoTag);
}

Status Expected(const std::string& what, int64_t received) {
  return {ErrorCode::kLimitExceeded,
          "expected " + what + " but received " + std::to_string(received)};
}

}  // namespace

int64_t CacheGeometry::LeastCacheRows(int64_t table_rows) {
  return LeastSets(std::max<int64_t>(table_rows, 1)) * kCacheWays;
}

Result<CacheGeometry> CacheGeometry::Make(int64_t table_rows, int64_t cache_rows) {
  if (table_rows < 1 || table_rows > kMaxCachedTableRows) {
    return Expected("1 to " + std::to_string(kMaxCachedTableRows) + " rows of a cached table",
                    table_rows);
  }
  const int64_t least = LeastCacheRows(table_rows);
  // A cache of a small table may be asked for in any size; the least is two sets.
  if (cache_rows < 1 || (least > kLeastSets * kCacheWays && cache_rows < least)) {
    return Expected("at least " +
                        std::to_string(least > kLeastSets * kCacheWays ? least : int64_t{1}) +
                        " cached rows for a table of " + std::to_string(table_rows) + " rows",
                    cache_rows);
  }
  if (cache_rows > kMaxCacheRows) {
    return Expected("at most " + std::to_string(kMaxCacheRows) + " cached rows", cache_rows);
  }
  const int bits = BitsFor(table_rows);
  CacheGeometry geometry;
  geometry.sets =
      static_cast<uint32_t>(std::max(kLeastSets, (cache_rows + kCacheWays - 1) / kCacheWays));
  geometry.mask = static_cast<uint32_t>((uint64_t{1} << bits) - 1);
  geometry.shift = static_cast<uint32_t>(bits + 1) / 2;
  return geometry;
}

uint32_t CacheGeometry::RowAt(CachePlace place) const {
  // PermuteRow backwards: the shifts undo themselves, the factors are the inverses modulo 2^32.
  uint32_t x = place.tag * sets + place.set;
  x ^= x >> shift;
  x = (x * 0x43021123u) & mask;
  x ^= x >> shift;
  x = (x * 0x1d69e2a5u) & mask;
  return x ^ (x >> shift);
}

}  // namespace gyrfalcon::cuda
