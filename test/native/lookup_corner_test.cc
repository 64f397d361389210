// Named cases with results written by hand; every backend, the reference included.
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "lookup_support.h"

namespace gyrfalcon::testing {
namespace {

constexpr int64_t kDim = 3;

// Row k holds k + 1, 10 (k + 1), 100 (k + 1).
std::shared_ptr<Table> SmallTable() {
  return std::make_shared<Table>(std::vector<float>{1, 10, 100, 2, 20, 200, 3, 30, 300, 4, 40, 400},
                                 kDim, Storage::kF32);
}

GroupCase Fixed(std::vector<int64_t> ids, int64_t count, Pooling pooling) {
  GroupCase group;
  group.table = SmallTable();
  group.ids = std::move(ids);
  group.count = count;
  group.row_stride = count;
  group.pooling = pooling;
  return group;
}

GroupCase Ragged(std::vector<int64_t> ids, std::vector<int64_t> offsets, Pooling pooling) {
  GroupCase group = Fixed(std::move(ids), 0, pooling);
  group.offsets = std::move(offsets);
  return group;
}

RequestCase Rows(std::vector<GroupCase> groups, int64_t rows,
                 OutOfRange policy = OutOfRange::kError) {
  RequestCase request;
  request.groups = std::move(groups);
  request.row_end = rows;
  request.policy = policy;
  return request;
}

using Floats = std::vector<float>;

class LookupCornerTest : public ::testing::TestWithParam<LookupBackend> {
 protected:
  LookupOutcome Run(const RequestCase& request) { return RunCase(request, GetParam()); }
  Floats Output(GroupCase group, int64_t rows, OutOfRange policy = OutOfRange::kError) {
    const LookupOutcome outcome = Run(Rows({std::move(group)}, rows, policy));
    EXPECT_FALSE(outcome.report.failed);
    zeroed_ = outcome.report.zeroed;
    return outcome.outputs[0];
  }
  int64_t zeroed_ = 0;
};

TEST_P(LookupCornerTest, OneIdPerBagCopiesTheRow) {
  EXPECT_EQ(Output(Fixed({2, 0}, 1, Pooling::kSum), 2), (Floats{3, 30, 300, 1, 10, 100}));
  EXPECT_EQ(Output(Fixed({3, 3}, 1, Pooling::kMean), 2), (Floats{4, 40, 400, 4, 40, 400}));
}

TEST_P(LookupCornerTest, SumsAndMeansFixedBags) {
  EXPECT_EQ(Output(Fixed({0, 1, 2, 3}, 2, Pooling::kSum), 2), (Floats{3, 30, 300, 7, 70, 700}));
  EXPECT_EQ(Output(Fixed({0, 2, 3, 3}, 2, Pooling::kMean), 2), (Floats{2, 20, 200, 4, 40, 400}));
}

TEST_P(LookupCornerTest, DuplicateIdsCountEachTime) {
  EXPECT_EQ(Output(Fixed({1, 1, 1}, 3, Pooling::kSum), 1), (Floats{6, 60, 600}));
  EXPECT_EQ(Output(Fixed({1, 1, 1}, 3, Pooling::kNone), 1),
            (Floats{2, 20, 200, 2, 20, 200, 2, 20, 200}));
}

TEST_P(LookupCornerTest, EmptyBagsGiveZeros) {
  for (const Pooling pooling : {Pooling::kSum, Pooling::kMean}) {
    EXPECT_EQ(Output(Ragged({3}, {0, 0, 1, 1}, pooling), 3),
              (Floats{0, 0, 0, 4, 40, 400, 0, 0, 0}));
    EXPECT_EQ(Output(Ragged({}, {0, 0}, pooling), 1), (Floats{0, 0, 0}));
    EXPECT_EQ(Output(Fixed({}, 0, pooling), 2), Floats(6, 0.0f));
  }
}

TEST_P(LookupCornerTest, RaggedBagsWithEachWidthOfIdsAndOffsets) {
  for (const bool wide_ids : {false, true}) {
    for (const bool wide_offsets : {false, true}) {
      GroupCase group = Ragged({0, 1, 2, 3, 3}, {0, 3, 5}, Pooling::kSum);
      group.wide_ids = wide_ids;
      group.wide_offsets = wide_offsets;
      EXPECT_EQ(Output(group, 2), (Floats{6, 60, 600, 8, 80, 800}));
    }
  }
}

TEST_P(LookupCornerTest, RaggedGatherWritesOneRowPerId) {
  EXPECT_EQ(Output(Ragged({3, 0, 1}, {0, 2, 3}, Pooling::kNone), 2),
            (Floats{4, 40, 400, 1, 10, 100, 2, 20, 200, kUntouched, kUntouched, kUntouched}));
}

TEST_P(LookupCornerTest, StridesAndSlackSelectColumns) {
  // Two bags of two ids, every second of rows of five ids; the last row stops where its bag does.
  GroupCase group = Fixed({0, 99, 1, 99, 99, 2, 99, 3}, 2, Pooling::kSum);
  group.row_stride = 5;
  group.step = 2;
  group.slack = 2;
  EXPECT_EQ(Output(group, 2), (Floats{3, 30, 300, kUntouched, kUntouched, 7, 70, 700}));
}

TEST_P(LookupCornerTest, RowRangeLeavesOtherRowsAlone) {
  RequestCase request = Rows({Fixed({0, 1, 2}, 1, Pooling::kSum)}, 2);
  request.row_begin = 1;
  EXPECT_EQ(Run(request).outputs[0], (Floats{kUntouched, kUntouched, kUntouched, 2, 20, 200}));
  request.row_begin = 2;
  EXPECT_EQ(Run(request).outputs[0], Floats(6, kUntouched));
}

TEST_P(LookupCornerTest, PaddingContributesNothingAndIsNotCounted) {
  GroupCase group = Fixed({1, -1, 3, -1, -1, -1}, 3, Pooling::kMean);
  group.has_padding = true;
  group.padding = -1;
  EXPECT_EQ(Output(group, 2), (Floats{3, 30, 300, 0, 0, 0}));
  group.pooling = Pooling::kNone;
  EXPECT_EQ(Output(group, 1), (Floats{2, 20, 200, 0, 0, 0, 4, 40, 400}));
  // Padding may be a valid row, and is compared before `add`.
  group = Fixed({1, 2}, 2, Pooling::kSum);
  group.has_padding = true;
  group.padding = 1;
  group.add = {-1};
  EXPECT_EQ(Output(group, 1), (Floats{2, 20, 200}));
}

TEST_P(LookupCornerTest, PaddingOfSingleIdBagsGivesZeros) {
  GroupCase group = Fixed({0, 7, 2}, 1, Pooling::kMean);
  group.has_padding = true;
  group.padding = 7;
  EXPECT_EQ(Output(group, 3), (Floats{1, 10, 100, 0, 0, 0, 3, 30, 300}));
}

TEST_P(LookupCornerTest, AddOncePerBagOrPerPosition) {
  GroupCase group = Fixed({10, 11, 12, 13}, 2, Pooling::kNone);
  group.add = {-10};
  EXPECT_EQ(Output(group, 2), (Floats{1, 10, 100, 2, 20, 200, 3, 30, 300, 4, 40, 400}));
  group = Fixed({0, 0, 1, 1}, 2, Pooling::kSum);
  group.add = {0, 2};
  EXPECT_EQ(Output(group, 2), (Floats{4, 40, 400, 6, 60, 600}));
}

TEST_P(LookupCornerTest, WeightsScaleRowsForEveryPooling) {
  GroupCase group = Fixed({0, 1}, 2, Pooling::kSum);
  group.weights = {0.5f, 2.0f};
  EXPECT_EQ(Output(group, 1), (Floats{4.5f, 45, 450}));
  group.pooling = Pooling::kMean;  // divides by the number of ids, not by the sum of weights
  EXPECT_EQ(Output(group, 1), (Floats{2.25f, 22.5f, 225}));
  group.pooling = Pooling::kNone;
  EXPECT_EQ(Output(group, 1), (Floats{0.5f, 5, 50, 4, 40, 400}));
  group = Fixed({3, 1}, 1, Pooling::kSum);
  group.weights = {-1.0f, 0.0f};
  EXPECT_EQ(Output(group, 2), (Floats{-4, -40, -400, 0, 0, 0}));
  group = Ragged({0, 1, 2}, {0, 1, 3}, Pooling::kSum);
  group.weights = {2.0f, 1.0f, 3.0f};
  EXPECT_EQ(Output(group, 2), (Floats{2, 20, 200, 11, 110, 1100}));
}

TEST_P(LookupCornerTest, OutOfRangeUnderZeroIsCountedByMean) {
  EXPECT_EQ(Output(Fixed({1, 4, -1, 1}, 4, Pooling::kMean), 1, OutOfRange::kZero),
            (Floats{1, 10, 100}));
  EXPECT_EQ(zeroed_, 2);
  EXPECT_EQ(Output(Fixed({1, 4}, 2, Pooling::kNone), 1, OutOfRange::kZero),
            (Floats{2, 20, 200, 0, 0, 0}));
  EXPECT_EQ(zeroed_, 1);
  EXPECT_EQ(Output(Fixed({4, 3}, 1, Pooling::kSum), 2, OutOfRange::kZero),
            (Floats{0, 0, 0, 4, 40, 400}));
  EXPECT_EQ(zeroed_, 1);
}

TEST_P(LookupCornerTest, ZeroedGrows) {
  const Table table({1.0f}, 1, Storage::kF32);
  const int32_t id = 5;
  float out = kUntouched;
  BagGroup group;
  group.table = table.view;
  group.indices = &id;
  group.count = 1;
  group.out = &out;
  LookupReport report;
  report.zeroed = 7;
  GetParam().run({&group, 1, 0, 1, OutOfRange::kZero}, &report);
  EXPECT_EQ(report.zeroed, 8);
  EXPECT_EQ(out, 0.0f);
}

TEST_P(LookupCornerTest, IdsAtBothEndsOfTheRange) {
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  for (const int64_t id : {int64_t{-1}, int64_t{4}, int64_t{1} << 32, kMin, kMax}) {
    for (const int64_t count : {1, 2, 20}) {
      for (const int64_t at : {int64_t{0}, count - 1}) {
        for (const Pooling pooling : {Pooling::kSum, Pooling::kMean, Pooling::kNone}) {
          std::vector<int64_t> ids(static_cast<size_t>(count), 3);
          ids[static_cast<size_t>(at)] = id;
          GroupCase group = Fixed(ids, count, pooling);
          group.wide_ids = true;
          const LookupOutcome outcome = Run(Rows({group}, 1));
          ASSERT_TRUE(outcome.report.failed);
          EXPECT_EQ(outcome.report.value, id);
          EXPECT_EQ(outcome.report.position, at);
        }
      }
    }
  }
  EXPECT_EQ(Output(Fixed({0, 3}, 2, Pooling::kSum), 1), (Floats{5, 50, 500}));
}

TEST_P(LookupCornerTest, IdAndAddSumModulo2To64) {
  GroupCase group = Fixed({std::numeric_limits<int64_t>::max()}, 1, Pooling::kSum);
  group.wide_ids = true;
  group.add = {std::numeric_limits<int64_t>::max()};
  EXPECT_TRUE(Run(Rows({group}, 1)).report.failed);  // 2^64 - 2
  group.ids = {std::numeric_limits<int64_t>::min()};
  group.add = {std::numeric_limits<int64_t>::min() + 4};
  EXPECT_TRUE(Run(Rows({group}, 1)).report.failed);  // 4: the first row that is not there
}

TEST_P(LookupCornerTest, FirstBadPositionInWalkOrder) {
  // Group 1 has one in an earlier row, but groups come first.
  const LookupOutcome outcome = Run(Rows(
      {Fixed({0, 1, 2, -3, 9, 1}, 2, Pooling::kSum), Fixed({8, 1, 2, 3, 3, 1}, 2, Pooling::kSum)},
      3));
  ASSERT_TRUE(outcome.report.failed);
  EXPECT_EQ(outcome.report.group, 0u);
  EXPECT_EQ(outcome.report.row, 1);
  EXPECT_EQ(outcome.report.position, 1);
  EXPECT_EQ(outcome.report.value, -3);
}

TEST_P(LookupCornerTest, BadPositionNamesTheRowOfSingleIdAndRaggedBags) {
  std::vector<int64_t> ids(50, 1);
  ids[37] = 4;
  ids[41] = -1;
  LookupOutcome outcome = Run(Rows({Fixed(ids, 1, Pooling::kSum)}, 50));
  ASSERT_TRUE(outcome.report.failed);
  EXPECT_EQ(outcome.report.row, 37);
  EXPECT_EQ(outcome.report.position, 0);
  EXPECT_EQ(outcome.report.value, 4);
  outcome = Run(Rows({Ragged(ids, {0, 0, 5, 30, 50}, Pooling::kMean)}, 4));
  ASSERT_TRUE(outcome.report.failed);
  EXPECT_EQ(outcome.report.row, 3);
  EXPECT_EQ(outcome.report.position, 7);
}

TEST_P(LookupCornerTest, BadIdOutsideTheRowRangeIsNotSeen) {
  RequestCase request = Rows({Fixed({9, 1, 9}, 1, Pooling::kSum)}, 2);
  request.row_begin = 1;
  EXPECT_FALSE(Run(request).report.failed);
}

TEST_P(LookupCornerTest, PaddedIdIsNeverOutOfRange) {
  GroupCase group = Fixed({-7, 1}, 2, Pooling::kSum);
  group.has_padding = true;
  group.padding = -7;
  EXPECT_EQ(Output(group, 1), (Floats{2, 20, 200}));
}

TEST_P(LookupCornerTest, TableWithoutRows) {
  GroupCase group = Fixed({0}, 1, Pooling::kSum);
  group.table = std::make_shared<Table>(Floats{}, kDim, Storage::kF32);
  EXPECT_TRUE(Run(Rows({group}, 1)).report.failed);
  EXPECT_EQ(Output(group, 1, OutOfRange::kZero), (Floats{0, 0, 0}));
}

TEST_P(LookupCornerTest, NoGroups) {
  const LookupOutcome outcome = Run(Rows({}, 3));
  EXPECT_FALSE(outcome.report.failed);
  EXPECT_EQ(outcome.report.zeroed, 0);
}

TEST_P(LookupCornerTest, QuantisedRowsByHand) {
  // scale 0.5, bias -1: values -1, -0.5, 126.5
  auto table = std::make_shared<Table>(Floats(3, 0.0f), kDim, Storage::kInt8);
  const uint8_t int8_row[] = {0, 1, 255, 0, 0, 0, 0x3f, 0, 0, 0x80, 0xbf};
  std::memcpy(table->bytes.data(), int8_row, sizeof(int8_row));
  GroupCase group = Fixed({0, 0}, 2, Pooling::kSum);
  group.table = table;
  EXPECT_EQ(Output(group, 1), (Floats{-2, -1, 253}));
  group.weights = {2.0f, -1.0f};
  EXPECT_EQ(Output(group, 1), (Floats{-1, -0.5f, 126.5f}));
  // Nibbles 1, 15, 8; scale 0.25 (f16 0x3400), bias 2 (0x4000)
  table = std::make_shared<Table>(Floats(3, 0.0f), kDim, Storage::kInt4);
  const uint8_t int4_row[] = {0xf1, 0x08, 0x00, 0x34, 0x00, 0x40};
  std::memcpy(table->bytes.data(), int4_row, sizeof(int4_row));
  group.table = table;
  EXPECT_EQ(Output(group, 1), (Floats{2.25f, 5.75f, 4}));
  group.weights.clear();
  EXPECT_EQ(Output(group, 1), (Floats{4.5f, 11.5f, 8}));
  group.pooling = Pooling::kNone;
  EXPECT_EQ(Output(group, 1), (Floats{2.25f, 5.75f, 4, 2.25f, 5.75f, 4}));
}

TEST_P(LookupCornerTest, SpecialValuesSurviveGather) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  for (const Storage storage : {Storage::kF32, Storage::kF16, Storage::kBF16}) {
    auto table = std::make_shared<Table>(
        Floats{-0.0f, kInf, -kInf, std::numeric_limits<float>::quiet_NaN(), 0x1p-24f}, 5, storage);
    GroupCase group = Fixed({0}, 1, Pooling::kNone);
    group.table = table;
    const Floats out = Output(group, 1);
    EXPECT_TRUE(out[0] == 0.0f && std::signbit(out[0]));
    EXPECT_EQ(out[1], kInf);
    EXPECT_EQ(out[2], -kInf);
    EXPECT_TRUE(std::isnan(out[3]));
    EXPECT_EQ(out[4], 0x1p-24f);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, LookupCornerTest, ::testing::ValuesIn(LookupBackends()),
                         BackendName);

}  // namespace
}  // namespace gyrfalcon::testing
