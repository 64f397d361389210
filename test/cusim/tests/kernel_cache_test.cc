// Lookups in tables with a row cache: the kernel finds what is there and nothing else.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "backends/cuda/cache_args.h"
#include "lookup_support.h"
#include "simulated_backend.h"

namespace gyrfalcon::testing {
namespace {

constexpr Storage kStorages[] = {Storage::kF32, Storage::kF16, Storage::kBF16, Storage::kInt8,
                                 Storage::kInt4};

RequestCase Request(Storage storage, int64_t dim, int64_t table_rows, int64_t ids, uint64_t seed,
                    Pooling pooling = Pooling::kNone, int64_t batch = 40) {
  std::mt19937_64 random(seed);
  RequestCase request;
  GroupCase group;
  group.table = RandomTable(table_rows, dim, storage, &random);
  group.count = group.row_stride = ids;
  group.pooling = pooling;
  for (int64_t i = 0; i < batch * ids; ++i) {
    group.ids.push_back(static_cast<int64_t>(random() % static_cast<uint64_t>(table_rows)));
  }
  request.groups.push_back(std::move(group));
  request.row_end = batch;
  return request;
}

bool Right(const RequestCase& request) {
  const LookupOutcome expected = RunCase(request, Reference());
  const LookupOutcome got = RunCase(request, SimulatedBackend());
  return LastLaunch().fault == cusim::Fault::kNone && SameOutcome(request, expected, got);
}

// Unpooled rows are equal to the last bit, wherever they come from.
TEST(KernelCacheTest, RowsFromCacheAndTable) {
  const WithCaches always(Caching::kAlways);
  uint64_t seed = 0;
  for (const Storage storage : kStorages) {
    for (const int64_t dim : {1, 8, 33, 260, 600}) {
      for (const Pooling pooling : {Pooling::kNone, Pooling::kSum}) {
        ASSERT_TRUE(Right(Request(storage, dim, 40, 3, ++seed, pooling, 5)))
            << StorageName(storage) << " dim " << dim << ' ' << LastLaunch().report;
      }
    }
  }
}

TEST(KernelCacheTest, NumbersOfRows) {
  const WithCaches always(Caching::kAlways);
  for (const int64_t rows : {1, 2, 3, 15, 16, 17, 1023, 1024, 1025, 40000}) {
    for (uint64_t seed = 0; seed < 4; ++seed) {
      ASSERT_TRUE(Right(Request(Storage::kInt8, 4, rows, 9, seed, Pooling::kNone, 9)))
          << rows << ' ' << LastLaunch().report;
    }
  }
}

TEST(KernelCacheTest, CachedAndUncachedTablesInOneLaunch) {
  for (uint64_t seed = 1; seed < 12; ++seed) {
    RequestCase request = Request(Storage::kF32, 16, 200, 4, seed);
    for (int g = 1; g < 9; ++g) {
      request.groups.push_back(Request(kStorages[g % 5], 4 + 5 * g, 100, 1 + g % 3, seed * 9)
                                   .groups.front());
    }
    ASSERT_TRUE(Right(request)) << seed;
    EXPECT_EQ(LastLaunch().groups, 9);
  }
}

// Every position once, whether found or not, also of rows of more than one pass; what is out of
// range and padding not.
TEST(KernelCacheTest, TouchesAreRecorded) {
  const WithCaches always(Caching::kAlways);
  for (const int64_t dim : {16, 600}) {
    RequestCase request = Request(Storage::kF32, dim, 50, 7, 3);
    GroupCase& group = request.groups.front();
    group.ids[5] = 50;
    group.ids[9] = -1;
    group.has_padding = true;
    group.padding = 8;
    request.policy = OutOfRange::kZero;
    std::map<uint32_t, int> expected;
    for (const int64_t id : group.ids) {
      if (id >= 0 && id < 50 && id != 8) ++expected[static_cast<uint32_t>(id)];
    }
    ASSERT_TRUE(Right(request));
    std::map<uint32_t, int> recorded;
    std::map<uint32_t, uint32_t> hit;
    for (const uint32_t touch : LastTouches()) {
      const uint32_t row = touch & ~cuda::kTouchHit;
      ++recorded[row];
      const uint32_t was = touch & cuda::kTouchHit;
      ASSERT_EQ(hit.emplace(row, was).first->second, was) << row;
    }
    EXPECT_EQ(recorded, expected);
    const auto hits = std::count_if(hit.begin(), hit.end(), [](const auto& h) { return h.second; });
    EXPECT_GT(hits, 0);
    EXPECT_LT(hits, static_cast<int64_t>(hit.size()));
  }
}

TEST(KernelCacheTest, OneOfFourTouchesIsRecorded) {
  double all = 0;
  double recorded = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    ASSERT_TRUE(Right(Request(Storage::kF32, 4, 500, 20, seed)));
    if (LastTouches().empty()) continue;  // its table had no cache
    all += 40.0 * 20.0;
    recorded += static_cast<double>(LastTouches().size());
  }
  ASSERT_GT(all, 5000.0);
  // Six standard deviations.
  EXPECT_NEAR(recorded / all, 0.25, 6 * std::sqrt(0.25 * 0.75 / all));
}

// One sector of tags for each id, and a warp's copy of what there is to know of the cache.
TEST(KernelCacheTest, SectorsOfALookup) {
  for (const int64_t dim : {32, 64, 128}) {
    const RequestCase request = Request(Storage::kF32, dim, 300, 20, 5, Pooling::kSum);
    const auto sectors = [&](Caching which) {
      const WithCaches caches(which);
      EXPECT_TRUE(Right(request));
      return static_cast<int64_t>(LastLaunch().counters.load_sectors);
    };
    const int64_t bags_of_a_warp = 32 / std::min<int64_t>(dim / 4, 32);
    const int64_t warps = 40 / bags_of_a_warp;
    const int64_t more = sectors(Caching::kAlways) - sectors(Caching::kNever);
    // Lanes of a warp that ask for one set share its sector; how many do depends on the cache's size.
    EXPECT_LE(more, 40 * 20 + 2 * warps) << dim;
  }
}

class KernelCacheControlTest : public ::testing::TestWithParam<std::pair<std::string, std::string>> {
};

// Bugs in what is done for caches, each of which must be noticed.
TEST_P(KernelCacheControlTest, IsNoticed) {
  const WithCaches always(Caching::kAlways);
  ASSERT_TRUE(Right(Request(Storage::kF32, 16, 300, 7, 1)));
  const KernelEdit edit(GetParam().first, GetParam().second);
  bool noticed = false;
  for (uint64_t seed = 1; seed < 9 && !noticed; ++seed) {
    noticed = !Right(Request(Storage::kF32, 16, 300, 7, seed));
  }
  EXPECT_TRUE(noticed);
}

INSTANTIATE_TEST_SUITE_P(
    Bugs, KernelCacheControlTest,
    ::testing::Values(
        // The set's neighbour.
        std::pair<std::string, std::string>{
            "(ld\\.relaxed\\.sys\\.global\\.v4\\.u32\\s+\\{[^}]*\\}, \\[%rd[0-9]+)", "$1+16"},
        // Another row's tag.
        std::pair<std::string, std::string>{"mul\\.hi\\.u64", "mul.lo.u64"},
        // A permutation that the host does not know.
        std::pair<std::string, std::string>{"2146121005", "2146121007"},
        // A part of a tag is taken for it.
        std::pair<std::string, std::string>{"and\\.b32(\\s+%r[0-9]+, %r[0-9]+), 65535;",
                                            "and.b32$1, 7;"},
        // The cache's arguments are used before they are there.
        std::pair<std::string, std::string>{"bar\\.warp\\.sync[^;]*;", ""}));

}  // namespace
}  // namespace gyrfalcon::testing
