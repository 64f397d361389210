// Ids computed from an input's numbers, against the rules of core/id_map.h written out.
#include "core/id_map.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace gyrfalcon {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
using Op = IdStep::Op;
using Compare = IdStep::Test;

template <typename T>
NumberColumn Column(const std::vector<T>& data, Dtype dtype, int64_t row_stride, int64_t step = 1) {
  return {reinterpret_cast<const std::byte*>(data.data()), dtype, row_stride, step};
}

int64_t One(std::vector<IdStep> steps, int64_t number) {
  IdMap map;
  map.steps = std::move(steps);
  return MapId(map, number);
}

TEST(IdMapTest, EachStep) {
  EXPECT_EQ(One({{Op::kAdd, {}, 5, 0}}, -7), -2);
  EXPECT_EQ(One({{Op::kMul, {}, -3, 0}}, 7), -21);
  EXPECT_EQ(One({{Op::kMod, {}, 5, 0}}, 12), 2);
  EXPECT_EQ(One({{Op::kMod, {}, 5, 0}}, -12), 3);
  EXPECT_EQ(One({{Op::kMod, {}, 5, 0}}, -10), 0);
  EXPECT_EQ(One({{Op::kRem, {}, 5, 0}}, -12), -2);
  EXPECT_EQ(One({{Op::kDiv, {}, 5, 0}}, -12), -2);
  EXPECT_EQ(One({{Op::kFloorDiv, {}, 5, 0}}, -12), -3);
  EXPECT_EQ(One({{Op::kFloorDiv, {}, 5, 0}}, -10), -2);
  EXPECT_EQ(One({{Op::kFloorDiv, {}, 5, 0}}, 12), 2);
  EXPECT_EQ(One({{Op::kAbs, {}, 0, 0}}, -12), 12);
  EXPECT_EQ(One({{Op::kClamp, {}, 0, 9}}, -1), 0);
  EXPECT_EQ(One({{Op::kClamp, {}, 0, 9}}, 10), 9);
  EXPECT_EQ(One({{Op::kClamp, {}, 0, 9}}, 9), 9);
}

std::vector<int64_t> Mapped(const std::vector<int64_t>& given, int64_t rows, int64_t start,
                            int64_t step, int64_t count, std::vector<IdStep> steps) {
  const auto width = static_cast<int64_t>(given.size()) / rows;
  std::vector<int64_t> out(static_cast<size_t>(rows * count));
  IdMap map;
  map.source = {reinterpret_cast<const std::byte*>(given.data() + start), Dtype::kI64, width, step};
  map.count = count;
  map.steps = std::move(steps);
  map.out = out.data();
  MapIds(map, rows);
  return out;
}

TEST(IdMapTest, PlacesCountFromTheFirstPositionOfEachRow) {
  const std::vector<int64_t> given = {7, 0, 7, 0, 7, 7};
  EXPECT_EQ(Mapped(given, 2, 0, 1, 3, {{Op::kAdd, {}, 5, 0, -2}}),
            (std::vector<int64_t>{12, 3, 8, 5, 10, 8}));
  EXPECT_EQ(Mapped(given, 2, 0, 1, 3, {{Op::kReplace, Compare::kNe, 0, 1, 1}}),
            (std::vector<int64_t>{1, 0, 3, 0, 2, 3}));
  // One element again and again.
  EXPECT_EQ(Mapped(given, 2, 0, 0, 3, {{Op::kAdd, {}, 0, 0, -1}, {Op::kClamp, {}, 0, 9}}),
            (std::vector<int64_t>{7, 6, 5, 0, 0, 0}));
}

TEST(IdMapTest, SumsRunAlongEachRow) {
  const std::vector<int64_t> given = {1, 0, 1, 1, 0, 1, 0, 1};
  EXPECT_EQ(Mapped(given, 2, 0, 1, 4, {{Op::kSum, {}, 0, 1}}),
            (std::vector<int64_t>{1, 1, 2, 3, 0, 1, 1, 2}));
  EXPECT_EQ(Mapped(given, 2, 0, 1, 4, {{Op::kSum, {}, 0, 1, 0, true}, {Op::kAdd, {}, 1, 0}}),
            (std::vector<int64_t>{2, 1, 3, 4, 1, 2, 1, 3}));
  EXPECT_EQ(Mapped(given, 2, 2, 1, 2, {{Op::kSum, {}, 2, 1}}), (std::vector<int64_t>{2, 3, 1, 2}));
  EXPECT_EQ(Mapped(given, 2, 2, 2, 1, {{Op::kMul, {}, 3, 0}, {Op::kSum, {}, 1, 2}}),
            (std::vector<int64_t>{6, 0}));
}

TEST(IdMapTest, SumsLeaveOutWhatIsMarked) {
  const std::vector<int64_t> given = {5, 9, kMin, 5};
  std::vector<int64_t> out(4);
  IdMap map;
  map.source = Column(given, Dtype::kI64, 4);
  map.count = 4;
  map.steps = {{Op::kSum, {}, 0, 1}};
  map.has_padding = true;
  map.padding = 9;
  map.out = out.data();
  MapIds(map, 1);
  EXPECT_EQ(out, (std::vector<int64_t>{5, kMissingId, kUnusableId, 10}));
}

TEST(IdMapTest, EachTest) {
  const auto replaced = [](Compare test, int64_t x) {
    return One({{Op::kReplace, test, 4, 99}}, x) == 99;
  };
  for (const int64_t x : {3, 4, 5}) {
    EXPECT_EQ(replaced(Compare::kEq, x), x == 4);
    EXPECT_EQ(replaced(Compare::kNe, x), x != 4);
    EXPECT_EQ(replaced(Compare::kLt, x), x < 4);
    EXPECT_EQ(replaced(Compare::kLe, x), x <= 4);
    EXPECT_EQ(replaced(Compare::kGt, x), x > 4);
    EXPECT_EQ(replaced(Compare::kGe, x), x >= 4);
  }
}

TEST(IdMapTest, StepsInOrderAndWrapping) {
  EXPECT_EQ(One({{Op::kAdd, {}, 1, 0}, {Op::kMul, {}, 10, 0}}, 2), 30);
  EXPECT_EQ(One({{Op::kMul, {}, 10, 0}, {Op::kAdd, {}, 1, 0}}, 2), 21);
  EXPECT_EQ(One({{Op::kAdd, {}, 2, 0}}, kMax - 1), kUnusableId) << "wraps to the smallest number";
  EXPECT_EQ(One({{Op::kAdd, {}, 3, 0}}, kMax - 1), kMin + 1);
  EXPECT_EQ(One({{Op::kMul, {}, 2, 0}}, int64_t{1} << 62), kUnusableId);
  EXPECT_EQ(One({{Op::kAbs, {}, 0, 0}}, kMin + 1), kMax) << "the largest number is unusable, too";
}

TEST(IdMapTest, MarkedNumbersPassThroughEveryStep) {
  for (const Op op : {Op::kAdd, Op::kMul, Op::kMod, Op::kRem, Op::kDiv, Op::kFloorDiv, Op::kAbs,
                      Op::kClamp, Op::kReplace}) {
    EXPECT_EQ(One({{op, Compare::kNe, 3, 7}}, kUnusableId), kUnusableId);
    EXPECT_EQ(One({{op, Compare::kNe, 3, 7}}, kMissingId), kMissingId);
  }
}

TEST(IdMapTest, PaddingBeforeOrAfterTheSteps) {
  IdMap map;
  map.steps = {{Op::kMod, {}, 10, 0}};
  map.has_padding = true;
  map.padding = 0;
  EXPECT_EQ(MapId(map, 0), kMissingId);
  EXPECT_EQ(MapId(map, 20), 0);
  map.padding_is_mapped = true;
  EXPECT_EQ(MapId(map, 20), kMissingId);
  EXPECT_EQ(MapId(map, 21), 1);
}

TEST(IdMapTest, FloatsAreTruncatedAndOthersUnusable) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> given = {2.9f, -2.9f, -0.5f, NAN, inf, -inf, 9.3e18f, -9.3e18f, 9.2e18f};
  const NumberColumn column = Column(given, Dtype::kF32, 0);
  const std::vector<int64_t> wanted = {2,           -2,          0,
                                       kUnusableId, kUnusableId, kUnusableId,
                                       kUnusableId, kUnusableId, static_cast<int64_t>(9.2e18f)};
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_EQ(ReadNumber(column, 0, static_cast<int64_t>(i)), wanted[i]) << given[i];
  }
}

TEST(IdMapTest, EveryType) {
  const std::vector<int8_t> i8 = {-128};
  const std::vector<uint8_t> u8 = {255};
  const std::vector<int16_t> i16 = {-32768};
  const std::vector<uint16_t> u16 = {65535};
  const std::vector<int32_t> i32 = {std::numeric_limits<int32_t>::min()};
  const std::vector<int64_t> i64 = {kMin};
  const std::vector<double> f64 = {-1e15 - 0.5};
  EXPECT_EQ(ReadNumber(Column(i8, Dtype::kI8, 0), 0, 0), -128);
  EXPECT_EQ(ReadNumber(Column(u8, Dtype::kU8, 0), 0, 0), 255);
  EXPECT_EQ(ReadNumber(Column(u8, Dtype::kBool, 0), 0, 0), 255);
  EXPECT_EQ(ReadNumber(Column(i16, Dtype::kI16, 0), 0, 0), -32768);
  EXPECT_EQ(ReadNumber(Column(u16, Dtype::kU16, 0), 0, 0), 65535);
  EXPECT_EQ(ReadNumber(Column(i32, Dtype::kI32, 0), 0, 0), i32[0]);
  EXPECT_EQ(ReadNumber(Column(i64, Dtype::kI64, 0), 0, 0), kUnusableId);
  EXPECT_EQ(ReadNumber(Column(f64, Dtype::kF64, 0), 0, 0), -1000000000000000);
  EXPECT_TRUE(CanHoldIds(Dtype::kF32));
  EXPECT_FALSE(CanHoldIds(Dtype::kF16));
  EXPECT_FALSE(CanHoldIds(Dtype::kBF16));
}

TEST(IdMapTest, LengthsCutRowsOff) {
  const std::vector<int32_t> ids = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  const std::vector<float> lengths = {0, 2.9f, -5, 99};
  std::vector<int64_t> out(12, -1);
  IdMap map;
  map.source = Column(ids, Dtype::kI32, 3);
  map.count = 3;
  map.has_length = true;
  map.length = Column(lengths, Dtype::kF32, 1);
  map.out = out.data();
  MapIds(map, 4);
  const int64_t no = kMissingId;
  EXPECT_EQ(out, (std::vector<int64_t>{no, no, no, 4, 5, no, no, no, no, 10, 11, 12}));
  map.length_from = 1;
  MapIds(map, 4);
  EXPECT_EQ(out, (std::vector<int64_t>{no, no, no, 4, no, no, no, no, no, 10, 11, 12}));
}

TEST(IdMapTest, ManyRowsEqualOneByOne) {
  std::mt19937_64 random(3);
  std::vector<int64_t> given(500 * 7);
  for (int64_t& x : given) x = static_cast<int64_t>(random()) >> (random() % 60);
  std::vector<int64_t> out(500 * 3);
  IdMap map;
  map.source = Column(given, Dtype::kI64, 7, 2);
  map.source.data += sizeof(int64_t);
  map.count = 3;
  map.steps = {
      {Op::kMul, {}, 31, 0}, {Op::kReplace, Compare::kLt, -50, 12}, {Op::kMod, {}, 1000, 0}};
  map.has_padding = true;
  map.padding = 1;
  map.out = out.data();
  MapIds(map, 500);
  for (size_t r = 0; r < 500; ++r) {
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(out[r * 3 + i], MapId(map, given[r * 7 + 1 + 2 * i]));
    }
  }
}

}  // namespace
}  // namespace gyrfalcon
