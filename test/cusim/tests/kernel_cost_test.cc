// What lookups cost on the simulator. `npm run cuda:report` runs these and prints the properties.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "backends/row_format.h"
#include "lookup_support.h"
#include "simulated_backend.h"

namespace gyrfalcon::testing {
namespace {

constexpr int64_t kBags = 40;
constexpr int64_t kIds = 20;
constexpr int64_t kTableRows = 5000;

// No id comes twice: what a first-level cache saves is within a row and its ids.
RequestCase Request(Storage storage, int64_t dim) {
  std::mt19937_64 random(5);
  RequestCase request;
  GroupCase group;
  group.table = RandomTable(kTableRows, dim, storage, &random);
  group.count = group.row_stride = kIds;
  group.ids.resize(static_cast<size_t>(kTableRows));
  std::iota(group.ids.begin(), group.ids.end(), int64_t{0});
  std::shuffle(group.ids.begin(), group.ids.end(), random);
  group.ids.resize(static_cast<size_t>(kBags * kIds));
  request.groups.push_back(std::move(group));
  request.row_end = kBags;
  return request;
}

// The 32-byte sectors that ids, rows and, with a cache, one set of tags for each id are in. Fewer are
// enough where rows share a sector, and in a small cache, where ids share sets.
double LeastSectors(Storage storage, int64_t dim, bool cached) {
  constexpr auto ids = static_cast<double>(kBags * kIds);
  const double row = std::ceil(static_cast<double>(RowBytes(storage, dim)) / 32);
  return ids * 4 / 32 + ids * (row + (cached ? 1 : 0));
}

struct CostBound {
  Storage storage;
  int64_t dim;
  bool cached;
  double instructions;  // at most, of all lanes, for each 16 bytes of rows
};

class KernelCostTest : public ::testing::TestWithParam<CostBound> {};

TEST_P(KernelCostTest, SectorsAndInstructions) {
  const auto& [storage, dim, cached, bound] = GetParam();
  const WithCaches caches(cached ? Caching::kAlways : Caching::kNever);
  const RequestCase request = Request(storage, dim);
  ASSERT_TRUE(SameOutcome(request, RunCase(request, Reference()),
                          RunCase(request, SimulatedBackend())))
      << LastLaunch().report;
  const cusim::Counters& counters = LastLaunch().counters;
  constexpr auto ids = static_cast<double>(kBags * kIds);
  const double sectors =
      static_cast<double>(counters.fetched_sectors) / LeastSectors(storage, dim, cached);
  const double pieces = ids * static_cast<double>(RowBytes(storage, dim)) / 16;
  const double instructions = static_cast<double>(counters.thread_instructions) / pieces;
  RecordProperty("storage", std::string(StorageName(storage)));
  RecordProperty("dim", std::to_string(dim));
  RecordProperty("cached", cached ? "yes" : "no");
  RecordProperty("sectors_per_id",
                 std::to_string(static_cast<double>(counters.fetched_sectors) / ids));
  RecordProperty("sectors_over_least", std::to_string(sectors));
  RecordProperty("instructions_per_16_bytes", std::to_string(instructions));
  EXPECT_LE(sectors, 1.15);
  EXPECT_GE(static_cast<double>(counters.fetched_sectors),
            ids * static_cast<double>(RowBytes(storage, dim)) / 32)
      << "fewer bytes than the rows have";
  EXPECT_LE(instructions, bound);
}

// Some tenth above what the kernel takes.
std::vector<CostBound> Bounds() {
  std::vector<CostBound> bounds;
  const auto add = [&](Storage storage, std::array<double, 3> most) {
    constexpr std::array<int64_t, 3> kDims = {32, 64, 128};
    for (size_t i = 0; i < kDims.size(); ++i) {
      bounds.push_back({storage, kDims[i], false, most[i]});
      bounds.push_back({storage, kDims[i], true, most[i] * 1.2});
    }
  };
  add(Storage::kF32, {72, 62, 57});
  add(Storage::kF16, {108, 90, 81});
  add(Storage::kBF16, {104, 86, 77});
  add(Storage::kInt8, {254, 144, 135});
  add(Storage::kInt4, {536, 295, 275});
  return bounds;
}

std::string NameOf(const ::testing::TestParamInfo<CostBound>& info) {
  return std::string(StorageName(info.param.storage)) + "x" + std::to_string(info.param.dim) +
         (info.param.cached ? "Cached" : "");
}

INSTANTIATE_TEST_SUITE_P(Formats, KernelCostTest, ::testing::ValuesIn(Bounds()), NameOf);

}  // namespace
}  // namespace gyrfalcon::testing
