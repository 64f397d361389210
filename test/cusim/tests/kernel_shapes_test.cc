// The lookup kernel over dims, storages, poolings, outputs and numbers of tables.
#include <gtest/gtest.h>

#include <cmath>

#include "backends/row_format.h"
#include "lookup_support.h"
#include "simulated_backend.h"

namespace gyrfalcon::testing {
namespace {

constexpr Storage kStorages[] = {Storage::kF32, Storage::kF16, Storage::kBF16, Storage::kInt8,
                                 Storage::kInt4};
constexpr Pooling kPoolings[] = {Pooling::kSum, Pooling::kMean, Pooling::kNone};

GroupCase Group(Storage storage, int64_t dim, Pooling pooling, int64_t count, int64_t rows,
                std::mt19937_64* random) {
  GroupCase group;
  group.table = RandomTable(23, dim, storage, random);
  group.pooling = pooling;
  group.count = group.row_stride = count;
  for (int64_t i = 0; i < rows * count; ++i) {
    group.ids.push_back(static_cast<int64_t>((*random)() % 23));
  }
  return group;
}

// Lanes of a team from 1 to 32, chunks that are full and not, rows of more than one pass.
TEST(KernelShapeTest, DimsStoragesAndPoolings) {
  std::mt19937_64 random(7);
  for (const int64_t dim : {1, 3, 4, 5, 8, 16, 17, 31, 33, 64, 100, 128, 129, 256, 520}) {
    for (const Storage storage : kStorages) {
      for (const Pooling pooling : kPoolings) {
        for (const int64_t count : {1, 9}) {
          RequestCase request;
          request.row_end = 3;
          request.groups.push_back(Group(storage, dim, pooling, count, 3, &random));
          ASSERT_TRUE(SameOutcome(request, RunCase(request, Reference()),
                                  RunCase(request, SimulatedBackend())))
              << StorageName(storage) << ' ' << dim;
        }
      }
    }
  }
}

// Up to 27 groups travel in the kernel's parameters, more in device memory.
TEST(KernelShapeTest, NumbersOfGroups) {
  std::mt19937_64 random(8);
  for (const int64_t groups : {1, 2, 26, 27, 28, 60}) {
    for (int again = 0; again < 3; ++again) {
      RequestCase request;
      request.row_end = 11;
      for (int64_t g = 0; g < groups; ++g) {
        request.groups.push_back(
            Group(kStorages[g % 5], 4 + 3 * (g % 7), kPoolings[g % 3], g % 4, 11, &random));
      }
      ASSERT_TRUE(SameOutcome(request, RunCase(request, Reference()),
                              RunCase(request, SimulatedBackend())))
          << groups;
      EXPECT_EQ(LastLaunch().groups, groups);
      EXPECT_TRUE(groups <= 27 || !LastLaunch().by_value);
    }
  }
}

// Rounded once, from the f32 result.
TEST(KernelShapeTest, HalfOutputs) {
  std::mt19937_64 random(9);
  for (const int64_t dim : {1, 6, 16, 64, 130}) {
    for (const Storage storage : kStorages) {
      for (const Pooling pooling : kPoolings) {
        RequestCase request;
        request.row_end = 4;
        request.groups.push_back(Group(storage, dim, pooling, 5, 4, &random));
        const LookupOutcome single = RunCase(request, SimulatedBackend());
        const LookupOutcome half = RunCase(request, SimulatedHalfBackend());
        for (size_t i = 0; i < single.outputs[0].size(); ++i) {
          const float expected = HalfToFloat(FloatToHalf(single.outputs[0][i]));
          ASSERT_EQ(half.outputs[0][i], expected)
              << StorageName(storage) << ' ' << dim << " element " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace gyrfalcon::testing
