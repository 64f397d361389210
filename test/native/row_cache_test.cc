// Random sequences of replacing, warming and updating, while lookups are under way.
#include "backends/cuda/row_cache.h"

#include <gtest/gtest.h>

#include "row_cache_support.h"

namespace gyrfalcon::testing {
namespace {

constexpr int64_t kRows = 61;
constexpr int64_t kSlots = 24;

struct Outcome {
  std::string noticed;
  int64_t hits = 0;
  cuda::CacheStats stats;
};

Outcome RunSequence(uint64_t seed, CacheBug bug = CacheBug::kNone, int fails_in = 0) {
  FakeCacheDevice device(kRows, kSlots, seed, bug);
  std::mt19937_64 random(seed * 77 + 1);
  const auto ids = [&](size_t most) {
    std::vector<int64_t> result(1 + random() % most);
    for (int64_t& id : result) id = static_cast<int64_t>(random() % kRows);
    return result;
  };
  device.FailCall(fails_in);
  for (int i = 0; i < 25; ++i) {
    device.Steps(400);
    Status status;
    switch (random() % 6) {
      case 0:
        status = device.Update(ids(4));
        break;
      case 1:
        status = device.cache().Warm(ids(6));
        break;
      case 2:
        device.set_hot(static_cast<uint32_t>(random() % kRows));
        break;
      default:
        status = device.cache().Maintain();
    }
    EXPECT_TRUE(status.ok() || fails_in > 0);
  }
  device.Settle();
  return {device.noticed(), device.hits(), device.cache().stats()};
}

TEST(RowCacheTest, LookupsSeeEveryRowAsItIs) {
  int64_t hits = 0;
  int64_t evictions = 0;
  int64_t updated = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const Outcome outcome = RunSequence(seed);
    ASSERT_EQ(outcome.noticed, "") << "seed " << seed;
    hits += outcome.hits;
    evictions += outcome.stats.evictions;
    updated += outcome.stats.updated;
    EXPECT_LE(outcome.stats.occupied, outcome.stats.slots);
    EXPECT_EQ(outcome.stats.occupied, outcome.stats.insertions - outcome.stats.evictions);
  }
  EXPECT_GT(hits, 10'000);
  EXPECT_GT(evictions, 1000);
  EXPECT_GT(updated, 1000);
}

// Any call of the device fails: lookups go on, an update is done or not done.
TEST(RowCacheTest, FailuresOfTheDevice) {
  for (int call = 1; call < 400; call += call < 60 ? 1 : 17) {
    const Outcome outcome = RunSequence(static_cast<uint64_t>(call), CacheBug::kNone, call);
    ASSERT_EQ(outcome.noticed, "") << "call " << call;
  }
}

TEST(RowCacheTest, AFailureStays) {
  FakeCacheDevice device(kRows, kSlots, 1, CacheBug::kNone);
  device.FailCall(1);
  EXPECT_EQ(device.cache().Maintain().message(), "a copy failed");
  EXPECT_EQ(device.cache().Maintain().message(), "a copy failed");
  EXPECT_EQ(device.cache().Warm({1}).message(), "a copy failed");
  EXPECT_EQ(device.Update({1}).message(), "a copy failed");
  device.Settle();
  EXPECT_EQ(device.noticed(), "");
}

class RowCacheControlTest : public ::testing::TestWithParam<CacheBug> {};

// Bugs, each of which a lookup must notice.
TEST_P(RowCacheControlTest, IsNoticed) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    if (!RunSequence(seed, GetParam()).noticed.empty()) return;
  }
  ADD_FAILURE() << "no lookup noticed";
}

INSTANTIATE_TEST_SUITE_P(Bugs, RowCacheControlTest,
                         ::testing::Values(CacheBug::kFirstDrainReturns,
                                           CacheBug::kSecondDrainReturns, CacheBug::kCloseReturns,
                                           CacheBug::kCloseLetsIn, CacheBug::kTagsBeforeRows,
                                           CacheBug::kTagsStay, CacheBug::kUpdateIsNotCopied,
                                           CacheBug::kNextSlot, CacheBug::kNextSet));

TEST(RowCacheTest, WarmRowsAreFound) {
  FakeCacheDevice device(kRows, kSlots, 3, CacheBug::kNone);
  ASSERT_TRUE(device.cache().Warm({5, 6, 5, 7}).ok());
  EXPECT_EQ(device.cache().stats().occupied, 3);
  const int64_t before = device.hits();
  device.Settle();
  EXPECT_EQ(device.noticed(), "");
  EXPECT_GE(device.hits() - before, 3);
}

// The first ones are put in, the others are passed over.
TEST(RowCacheTest, WarmingStopsAtFullSets) {
  FakeCacheDevice device(kRows, kSlots, 3, CacheBug::kNone);
  std::vector<int64_t> all;
  for (int64_t row = 0; row < kRows; ++row) all.push_back(row);
  ASSERT_TRUE(device.cache().Warm(all).ok());
  const cuda::CacheStats stats = device.cache().stats();
  EXPECT_EQ(stats.occupied, stats.slots);
  EXPECT_EQ(stats.evictions, 0);
}

TEST(RowCacheTest, HotIdsOutsideTheTable) {
  FakeCacheDevice device(kRows, kSlots, 3, CacheBug::kNone);
  EXPECT_TRUE(device.cache().Warm({kRows - 1, 0}).ok());
  EXPECT_EQ(device.cache().stats().occupied, 2);
  for (const int64_t id : {kRows, int64_t{-1}}) {
    const Status status = device.cache().Warm({1, id});
    EXPECT_EQ(status.code(), ErrorCode::kIndexOutOfRange);
    EXPECT_EQ(status.message(), "expected hot ids from 0 to 60 but received " + std::to_string(id) +
                                    " at position 1");
  }
  EXPECT_EQ(device.cache().stats().occupied, 2);
}

}  // namespace
}  // namespace gyrfalcon::testing
