// Bags that are pooled straight from ids (pool_direct.h) against the same bags by chunks: the same
// bits, whatever is prefetched, and the same reports.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "lookup_support.h"

namespace gyrfalcon::testing {
namespace {

constexpr int64_t kRows = 30;  // of the batch: enough that the cursor ahead is in the same group

class LookupDirectTest : public ::testing::TestWithParam<Storage> {
 protected:
  ~LookupDirectTest() override { SetPrefetching(kUsualPrefetch); }

  GroupCase Group(int64_t dim, int64_t count, bool ragged, bool wide) {
    GroupCase group;
    group.table = RandomTable(97, dim, GetParam(), &random_);
    group.wide_ids = group.wide_offsets = wide;
    if (ragged) {
      group.offsets.push_back(0);
      for (int64_t row = 0; row < kRows; ++row) {
        const auto length = static_cast<int64_t>(random_() % static_cast<uint64_t>(2 * count));
        group.offsets.push_back(group.offsets.back() + length);
      }
    } else {
      group.count = group.row_stride = count;
    }
    const int64_t ids = ragged ? group.offsets.back() : kRows * count;
    for (int64_t i = 0; i < ids; ++i) group.ids.push_back(static_cast<int64_t>(random_() % 97));
    return group;
  }

  // Of every backend: however it prefetches, as with padding that no id is, which goes by chunks.
  static void ExpectSameBits(const RequestCase& request) {
    RequestCase by_chunks = request;
    for (GroupCase& group : by_chunks.groups) {
      group.has_padding = true;
      group.padding = -777;
    }
    for (const LookupBackend& backend : LookupBackends()) {
      SetPrefetching({0});
      const LookupOutcome expected = RunCase(by_chunks, backend);
      for (const PrefetchOrder order : {PrefetchOrder::kNear, PrefetchOrder::kSteady,
                                        PrefetchOrder::kBursts, PrefetchOrder::kMixed}) {
        for (const int64_t lines : {0, 1, 128}) {
          SetPrefetching({lines, order});
          const LookupOutcome got = RunCase(request, backend);
          ASSERT_EQ(got.report.failed, expected.report.failed) << backend.name;
          EXPECT_EQ(got.report.zeroed, expected.report.zeroed) << backend.name;
          if (expected.report.failed) {
            EXPECT_EQ(got.report.group, expected.report.group);
            EXPECT_EQ(got.report.row, expected.report.row);
            EXPECT_EQ(got.report.position, expected.report.position);
            EXPECT_EQ(got.report.value, expected.report.value);
          }
          for (size_t g = 0; g < got.outputs.size(); ++g) {
            ASSERT_EQ(got.outputs[g].size(), expected.outputs[g].size());
            EXPECT_EQ(std::memcmp(got.outputs[g].data(), expected.outputs[g].data(),
                                  got.outputs[g].size() * sizeof(float)),
                      0)
                << backend.name << ", group " << g << ", lines " << lines;
          }
        }
      }
    }
  }

  std::mt19937_64 random_{23};
};

TEST_P(LookupDirectTest, SameBitsAsByChunks) {
  // Both sides of: two rows at a time, the registers' number, bags of one, four and a chunk of ids.
  for (const int64_t dim : {8, 16, 32, 64, 128, 144}) {
    for (const int64_t count : {2, 3, 20, 35}) {
      RequestCase request;
      request.row_end = kRows;
      request.groups.push_back(Group(dim, count, false, false));
      request.groups.push_back(Group(dim, count, true, true));
      request.groups.push_back(Group(dim, count, true, false));
      request.groups.back().pooling = Pooling::kMean;
      request.groups.push_back(Group(dim, count, false, true));
      request.groups.back().add = {-40};
      for (int64_t& id : request.groups.back().ids) id += 40;
      ExpectSameBits(request);
    }
  }
}

TEST_P(LookupDirectTest, IdsOutOfRangeAreFoundWhereTheyAre) {
  for (const OutOfRange policy : {OutOfRange::kError, OutOfRange::kZero}) {
    for (const int64_t bad : {int64_t{97}, int64_t{-1}, int64_t{INT32_MAX}, int64_t{INT32_MIN}}) {
      for (const size_t at : {0, 20, 477, 599}) {
        RequestCase request;
        request.row_end = kRows;
        request.policy = policy;
        request.groups.push_back(Group(64, 20, false, false));
        request.groups.push_back(Group(64, 20, false, true));
        request.groups[at % 2].ids[at] = bad;
        ExpectSameBits(request);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Storages, LookupDirectTest,
                         ::testing::Values(Storage::kF32, Storage::kF16, Storage::kBF16,
                                           Storage::kInt8, Storage::kInt4),
                         [](const auto& param) { return std::string(StorageName(param.param)); });

}  // namespace
}  // namespace gyrfalcon::testing
