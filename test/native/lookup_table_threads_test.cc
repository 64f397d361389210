// Rows that are replaced while other threads look them up.
#include <atomic>
#include <cstring>
#include <thread>

#include "core/lookup_table.h"
#include "lookup_support.h"

namespace gyrfalcon::testing {
namespace {

constexpr int64_t kRows = 8;
constexpr int64_t kDim = 64;

TEST(LookupTableThreadsTest, ALookupSeesAllOfAnUpdateOrNothing) {
  Result<std::shared_ptr<const TableStorage>> storage =
      MakeTable(kRows, kDim, Storage::kF32,
                [](std::byte* to) { std::memset(to, 0, kRows * kDim * sizeof(float)); });
  ASSERT_TRUE(storage.ok());
  LookupTable table(storage.value());
  constexpr int kLookups = 20000;
  std::atomic<bool> done{false};
  std::atomic<int> updates{0};
  std::thread writer([&] {
    while (!done) {
      const std::vector<float> rows(2 * kDim, static_cast<float>(++updates));
      EXPECT_TRUE(table.Update({1, 6}, reinterpret_cast<const std::byte*>(rows.data())).ok());
    }
  });
  while (updates == 0) std::this_thread::yield();
  const std::vector<int32_t> ids = {1, 6};
  std::vector<float> out(2 * kDim);
  float last = 0;
  for (int lookup = 0; lookup < kLookups; ++lookup) {
    BagGroup group;
    group.indices = ids.data();
    group.count = 1;
    group.index_row_stride = 1;
    group.pooling = Pooling::kNone;
    group.out = out.data();
    group.out_row_stride = kDim;
    LookupReport report;
    EXPECT_TRUE(table.Look(group, 2, OutOfRange::kError, 1, &report).ok());
    for (const float value : out) EXPECT_EQ(value, out[0]);
    EXPECT_GE(out[0], last);
    last = out[0];
  }
  done = true;
  writer.join();
  EXPECT_GT(updates, 1);
}

TEST(LookupTableThreadsTest, ABadIdWritesNothing) {
  Result<std::shared_ptr<const TableStorage>> storage =
      MakeTable(kRows, kDim, Storage::kF32,
                [](std::byte* to) { std::memset(to, 0, kRows * kDim * sizeof(float)); });
  ASSERT_TRUE(storage.ok());
  LookupTable table(storage.value());
  const std::vector<float> rows(2 * kDim, 1.0f);
  const auto* const bytes = reinterpret_cast<const std::byte*>(rows.data());
  EXPECT_EQ(table.Update({0, kRows}, bytes).code(), ErrorCode::kIndexOutOfRange);
  EXPECT_EQ(table.Update({0, -1}, bytes).code(), ErrorCode::kIndexOutOfRange);
  EXPECT_EQ(storage.value()->writable()[0], std::byte{0});
  EXPECT_TRUE(table.Update({0, kRows - 1}, bytes).ok());
  EXPECT_EQ(std::memcmp(storage.value()->writable(), rows.data(), kDim * sizeof(float)), 0);
}

}  // namespace
}  // namespace gyrfalcon::testing
