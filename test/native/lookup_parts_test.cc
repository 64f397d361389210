// Requests in parts: where the cuts lie, and that threads change nothing.
#include "backends/lookup_parts.h"

#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "core/lookup_threads.h"
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

// A request of several tables that is large enough for threads.
RequestCase Large(Pooling pooling, int64_t rows, OutOfRange policy) {
  std::mt19937_64 random(11);
  RequestCase request;
  request.row_end = rows;
  request.policy = policy;
  for (const Storage storage : {Storage::kF32, Storage::kInt8, Storage::kInt4}) {
    for (const bool ragged : {false, true}) {
      GroupCase group;
      group.table = RandomTable(500, 64, storage, &random);
      group.pooling = pooling;
      group.count = group.row_stride = 20;
      int64_t ids = 20 * rows;
      if (ragged) {
        group.offsets.push_back(ids = 0);
        for (int64_t r = 0; r < rows; ++r) {
          group.offsets.push_back(ids += static_cast<int64_t>(random() % 50));
        }
      }
      for (int64_t i = 0; i < ids; ++i) group.ids.push_back(static_cast<int64_t>(random() % 500));
      request.groups.push_back(std::move(group));
    }
  }
  return request;
}

void RunOnFourThreads(const LookupRequest& request, LookupReport* report) {
  RunLookup(LookupBackends().front(), request, 4, report);
}

LookupOutcome OnThreads(const RequestCase& request) {
  PrepareLookupThreads(4);
  return RunCase(request, {"threads", RunOnFourThreads});
}

TEST(LookupThreadsTest, SameBitsAsOneThread) {
  for (const Pooling pooling : {Pooling::kSum, Pooling::kMean, Pooling::kNone}) {
    for (const int64_t rows : {1, 2, 200}) {
      const RequestCase request = Large(pooling, rows, OutOfRange::kError);
      EXPECT_TRUE(SameBits(RunCase(request, LookupBackends().front()), OnThreads(request)));
    }
  }
}

TEST(LookupThreadsTest, FirstBadPositionOfAllParts) {
  RequestCase request = Large(Pooling::kSum, 200, OutOfRange::kError);
  std::mt19937_64 random(5);
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::vector<int64_t>& ids = request.groups[random() % request.groups.size()].ids;
    ids[random() % ids.size()] = 500 + repeat;
    const LookupOutcome one = RunCase(request, LookupBackends().front());
    const LookupOutcome several = OnThreads(request);
    ASSERT_TRUE(one.report.failed);
    ASSERT_TRUE(several.report.failed);
    EXPECT_EQ(one.report.group, several.report.group);
    EXPECT_EQ(one.report.row, several.report.row);
    EXPECT_EQ(one.report.position, several.report.position);
    EXPECT_EQ(one.report.value, several.report.value);
  }
}

TEST(LookupThreadsTest, ZeroedPositionsOfAllParts) {
  RequestCase request = Large(Pooling::kMean, 200, OutOfRange::kZero);
  int64_t bad = 0;
  for (GroupCase& group : request.groups) {
    for (size_t i = 0; i < group.ids.size(); i += 7, ++bad) group.ids[i] = -1 - group.ids[i];
  }
  const LookupOutcome several = OnThreads(request);
  EXPECT_EQ(several.report.zeroed, bad);
  EXPECT_TRUE(SameBits(RunCase(request, LookupBackends().front()), several));
}

TEST(LookupThreadsTest, CallersShareTheHelpers) {
  const RequestCase request = Large(Pooling::kSum, 100, OutOfRange::kError);
  const LookupOutcome expected = RunCase(request, LookupBackends().front());
  std::vector<int> same(4, 0);
  std::vector<std::thread> callers;
  for (int& count : same) {
    callers.emplace_back([&] {
      for (int i = 0; i < 20; ++i) count += SameBits(expected, OnThreads(request)) ? 1 : 0;
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(same, std::vector<int>(4, 20));
}

}  // namespace
}  // namespace gyrfalcon::testing
