// Requests in parts: where the cuts lie.
#include "backends/lookup_parts.h"

#include <cstdint>
#include <vector>

#include "lookup_support.h"

namespace gyrfalcon::testing {
namespace {

constexpr int64_t kDim = 16;  // a line of f32

// Bags without memory behind them: cuts look at shapes and offsets only.
BagGroup Bags(int64_t count, Storage storage = Storage::kF32) {
  BagGroup group;
  group.table = {nullptr, 100, kDim, storage};
  group.count = group.index_row_stride = count;
  return group;
}

LookupRequest Request(const std::vector<BagGroup>& groups, int64_t rows) {
  return {groups.data(), groups.size(), 0, rows, OutOfRange::kError};
}

TEST(LookupPartsTest, CountsLinesOfRowsReadAndWritten) {
  EXPECT_EQ(LookupLines(Request({Bags(3)}, 10)), 10 * (3 + 1));
  // 24 bytes a row: two lines at most.
  EXPECT_EQ(LookupLines(Request({Bags(3, Storage::kInt8)}, 10)), 10 * (3 * 2 + 1));
  BagGroup gather = Bags(3);
  gather.pooling = Pooling::kNone;
  EXPECT_EQ(LookupLines(Request({gather}, 10)), 10 * 3 * 2);
  const std::vector<int32_t> offsets{0, 5, 5, 7};
  BagGroup ragged = Bags(0);
  ragged.offsets = offsets.data();
  EXPECT_EQ(LookupLines(Request({ragged, Bags(1)}, 3)), 7 + 3 + 2 * 3);
  EXPECT_EQ(LookupLines(Request({}, 3)), 0);
  EXPECT_EQ(LookupLines(Request({Bags(3)}, 0)), 0);
}

TEST(LookupPartsTest, CutsByLinesNotByRowsOrTables) {
  // 90 lines in one table, 10 in each of three.
  const std::vector<BagGroup> groups{Bags(8), Bags(0), Bags(0), Bags(0)};
  const LookupRequest request = Request(groups, 10);
  ASSERT_EQ(LookupLines(request), 120);
  const LookupCut half = CutLookup(request, 60);
  EXPECT_EQ(half.group, 0u);
  EXPECT_EQ(half.row, 7);  // 63 lines: the first row that reaches 60
  const LookupCut late = CutLookup(request, 105);
  EXPECT_EQ(late.group, 2u);
  EXPECT_EQ(late.row, 5);
  const std::vector<int64_t> offsets{0, 1, 2, 3, 100, 101};
  BagGroup ragged = Bags(0);
  ragged.offsets = offsets.data();
  ragged.offsets_are_64 = true;
  EXPECT_EQ(CutLookup(Request({ragged}, 5), 53).row, 4);  // behind the long bag
}

TEST(LookupPartsTest, CutsAtBothEnds) {
  const std::vector<BagGroup> groups{Bags(1), Bags(1)};
  const LookupRequest request = Request(groups, 4);
  const LookupCut begin = CutLookup(request, 0);
  EXPECT_EQ(begin.group, 0u);
  EXPECT_EQ(begin.row, 0);
  const LookupCut end = CutLookup(request, INT64_MAX);
  EXPECT_EQ(end.group, 1u);
  EXPECT_EQ(end.row, 4);
  EXPECT_EQ(LookupPart(request, end, end).num_groups, 0u);
  const LookupRequest whole = LookupPart(request, begin, end);
  EXPECT_EQ(whole.num_groups, 2u);
  EXPECT_EQ(whole.late_rows, 0);
  EXPECT_EQ(whole.early_rows, 0);
}

}  // namespace
}  // namespace gyrfalcon::testing
