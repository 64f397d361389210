// One lookup on several threads gives what it gives on one.
#include "core/lookup_threads.h"

#include <cstdint>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "lookup_support.h"

namespace gyrfalcon::testing {
namespace {

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
