// Where rows may be in a cache, and which of them are.
#include "backends/cuda/row_cache_policy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

namespace gyrfalcon::cuda {
namespace {

__extension__ using Wide = unsigned __int128;

CacheGeometry Geometry(int64_t rows, int64_t slots) {
  auto geometry = CacheGeometry::Make(rows, slots);
  EXPECT_TRUE(geometry.ok()) << geometry.status().message();
  return geometry.value();
}

// No two rows share a tag in a set.
TEST(CacheGeometryTest, APlaceIsOneRows) {
  for (const int64_t rows : {1, 2, 3, 61, 1000, 1024, 1025, 100'000}) {
    for (const int64_t slots : {24, 64, 1000}) {
      const CacheGeometry geometry = Geometry(rows, slots);
      std::set<std::pair<uint32_t, uint32_t>> places;
      for (uint32_t row = 0; row < rows; ++row) {
        const CachePlace place = geometry.PlaceOf(row);
        ASSERT_LT(place.set, geometry.sets);
        ASSERT_LT(place.tag, kNoTag);
        ASSERT_EQ(geometry.RowAt(place), row);
        ASSERT_TRUE(places.emplace(place.set, place.tag).second) << row;
      }
    }
  }
}

TEST(CacheGeometryTest, TheLargestTable) {
  const int64_t least = CacheGeometry::LeastCacheRows(kMaxCachedTableRows);
  EXPECT_EQ(least, 32769 * 8);
  const CacheGeometry geometry = Geometry(kMaxCachedTableRows, least);
  std::mt19937_64 random(4);
  for (int i = 0; i < 100'000; ++i) {
    const auto row = static_cast<uint32_t>(random() % uint64_t{kMaxCachedTableRows});
    const CachePlace place = geometry.PlaceOf(row);
    ASSERT_LT(place.tag, kNoTag);
    ASSERT_EQ(geometry.RowAt(place), row);
  }
}

// What the kernel divides by.
TEST(CacheGeometryTest, TheReciprocalDivides) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 200'000; ++i) {
    CacheGeometry geometry;
    geometry.sets = static_cast<uint32_t>(random() >> (36 + random() % 26));
    geometry.sets = std::max(geometry.sets, 2u);
    uint32_t x = static_cast<uint32_t>(random());
    if (i % 3 == 0) x = x / geometry.sets * geometry.sets;
    if (i % 3 == 1) x = x / geometry.sets * geometry.sets - 1;
    const auto quotient =
        static_cast<uint32_t>((static_cast<Wide>(geometry.reciprocal()) * x) >> 64);
    ASSERT_EQ(quotient, x / geometry.sets) << x << " / " << geometry.sets;
  }
}

// Neighbours and multiples of powers of two fill sets about alike.
TEST(CacheGeometryTest, SetsFillAlike) {
  for (const uint32_t step : {1u, 2u, 64u, 1024u}) {
    const CacheGeometry geometry = Geometry(4'000'000, 16'000);
    std::vector<int> load(geometry.sets);
    for (uint32_t i = 0; i < 16'000 && i * step < 4'000'000; ++i) {
      ++load[geometry.PlaceOf(i * step).set];
    }
    // 8 a set, by chance: 30 is seven standard deviations away.
    EXPECT_LT(*std::max_element(load.begin(), load.end()), 30) << step;
  }
}

TEST(CacheGeometryTest, Limits) {
  const auto message = [](int64_t rows, int64_t slots) {
    const auto geometry = CacheGeometry::Make(rows, slots);
    if (geometry.ok()) return std::string();
    EXPECT_EQ(geometry.status().code(), ErrorCode::kLimitExceeded);
    return geometry.status().message();
  };
  EXPECT_EQ(message(1, 1), "");
  EXPECT_EQ(message(100, 0),
            "expected at least 1 cached rows for a table of 100 rows but received 0");
  EXPECT_EQ(message(0, 8), "expected 1 to 2147483647 rows of a cached table but received 0");
  EXPECT_EQ(message(kMaxCachedTableRows, 1 << 20), "");
  EXPECT_EQ(message(kMaxCachedTableRows + 1, 1 << 20),
            "expected 1 to 2147483647 rows of a cached table but received 2147483648");
  // 65536 numbers have tags below 65535 in two sets; 131072 need three, which 24 slots are.
  EXPECT_EQ(message(65'536, 1), "");
  EXPECT_EQ(message(65'537 * 2, 40), "");
  EXPECT_EQ(message(65'537 * 2, 39),
            "expected at least 40 cached rows for a table of 131074 rows but received 39");
  EXPECT_EQ(message(kMaxCachedTableRows, kMaxCacheRows), "");
  EXPECT_EQ(message(kMaxCachedTableRows, kMaxCacheRows + 1),
            "expected at most 2147483648 cached rows but received 2147483649");
}

TEST(CacheGeometryTest, RowsInBytes) {
  EXPECT_EQ(CacheRowsIn(8 * 66 - 1, 64), 0);
  EXPECT_EQ(CacheRowsIn(8 * 66, 64), 8);
  EXPECT_EQ(CacheRowsIn(16 * 66 - 1, 64), 8);
}

void Fill(RowCachePolicy* policy, const std::vector<CacheReplacement>& plan) {
  for (const CacheReplacement& replacement : plan) {
    policy->Remove(replacement.slot);
    policy->Insert(replacement.slot, replacement.row);
  }
}

TEST(RowCachePolicyTest, APlanHasEachSlotAndRowOnce) {
  RowCachePolicy policy(Geometry(5000, 64));
  std::mt19937_64 random(6);
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 300; ++i) policy.Touch(static_cast<uint32_t>(random() % 5000));
    const std::vector<CacheReplacement> plan = policy.Plan(40);
    EXPECT_LE(plan.size(), 40u);
    std::set<uint32_t> slots;
    std::set<uint32_t> rows;
    for (const CacheReplacement& replacement : plan) {
      EXPECT_TRUE(slots.insert(replacement.slot).second);
      EXPECT_TRUE(rows.insert(replacement.row).second);
      EXPECT_EQ(policy.SlotOf(replacement.row), RowCachePolicy::kNoSlot);
      EXPECT_EQ(replacement.slot / kCacheWays, policy.geometry().PlaceOf(replacement.row).set);
      EXPECT_EQ(replacement.evicts, policy.tags()[replacement.slot] != kNoTag);
    }
    Fill(&policy, plan);
    for (const CacheReplacement& replacement : plan) {
      EXPECT_EQ(policy.SlotOf(replacement.row), replacement.slot);
    }
  }
  EXPECT_EQ(policy.occupied(), 64);
}

TEST(RowCachePolicyTest, WhatComesOftenStays) {
  RowCachePolicy policy(Geometry(10'000, 16));
  for (uint32_t row = 0; row < 16; ++row) policy.Touch(row, 10);
  Fill(&policy, policy.Plan(100));
  const int64_t held = policy.occupied();
  std::vector<uint32_t> hot;
  for (uint32_t row = 0; row < 16; ++row) {
    if (policy.SlotOf(row) != RowCachePolicy::kNoSlot) hot.push_back(row);
  }
  EXPECT_EQ(static_cast<int64_t>(hot.size()), held);
  for (uint32_t row = 100; row < 120; ++row) policy.Touch(row);
  Fill(&policy, policy.Plan(100));
  for (const uint32_t row : hot) EXPECT_NE(policy.SlotOf(row), RowCachePolicy::kNoSlot) << row;
}

// Halving makes room for what is asked for now.
TEST(RowCachePolicyTest, WhatCameOftenOnceGoes) {
  RowCachePolicy policy(Geometry(10'000, 16));
  for (uint32_t row = 0; row < 16; ++row) policy.Touch(row, 50);
  Fill(&policy, policy.Plan(100));
  for (int i = 0; i < 400; ++i) {
    for (uint32_t row = 5000; row < 5064; ++row) policy.Touch(row);
    Fill(&policy, policy.Plan(100));
  }
  EXPECT_EQ(policy.occupied(), 16);
  for (uint32_t row = 0; row < 16; ++row) {
    EXPECT_EQ(policy.SlotOf(row), RowCachePolicy::kNoSlot) << row;
  }
}

TEST(FrequencySketchTest, CountsAreNotTooLow) {
  FrequencySketch sketch(3000);
  std::mt19937_64 random(7);
  std::vector<uint32_t> counts(3000);
  for (int i = 0; i < 8000; ++i) {
    const auto row = static_cast<uint32_t>(random() % counts.size());
    ++counts[row];
    sketch.Add(row);
  }
  int64_t over = 0;
  for (uint32_t row = 0; row < counts.size(); ++row) {
    ASSERT_GE(sketch.Count(row), counts[row]);
    over += sketch.Count(row) - counts[row];
  }
  EXPECT_LT(over, 500);
}

TEST(FrequencySketchTest, CountsStopAndHalve) {
  FrequencySketch sketch(64);
  sketch.Add(5, 300);
  EXPECT_EQ(sketch.Count(5), FrequencySketch::kMost);
  sketch.Add(6, 64 * 32 - 301);
  EXPECT_EQ(sketch.Count(5), FrequencySketch::kMost);
  sketch.Add(6);
  EXPECT_EQ(sketch.Count(5), FrequencySketch::kMost / 2);
}

}  // namespace
}  // namespace gyrfalcon::cuda
