// The host's side of CUDA on the simulated driver: results, lifetimes, and every driver function
// failing.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <thread>

#include "core/lookup_table.h"
#include "host_support.h"

namespace gyrfalcon::testing {
namespace {

std::vector<float> Values() {
  std::vector<float> values(kWorkRows * kWorkDim);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return values;
}

TableView ViewOf(const std::vector<float>& values) {
  return {reinterpret_cast<const std::byte*>(values.data()), kWorkRows, kWorkDim, Storage::kF32};
}

Status Wrong(const std::string& what) { return {ErrorCode::kInternal, what}; }

// Sums of two rows of `batch`, of ids that are 0, 1, 2, ... modulo 19.
Status RunBatch(WorkBatch* batch, int64_t groups, int64_t count, const std::vector<float>& values) {
  constexpr int64_t kRows = 2;
  for (int64_t i = 0; i < kRows * groups * count; ++i) {
    batch->ids[i] = static_cast<int32_t>(i % (kWorkRows - 1));
  }
  LookupReport report;
  GYR_RETURN_IF_ERROR(batch->lookup->Run(kRows, &report));
  if (report.failed) return Wrong("an id that is in range was reported");
  for (int64_t bag = 0; bag < kRows * groups; ++bag) {
    for (int64_t d = 0; d < kWorkDim; ++d) {
      float sum = 0;
      for (int64_t i = bag * count; i < (bag + 1) * count; ++i) {
        sum += values[static_cast<size_t>((i % (kWorkRows - 1) + 1) * kWorkDim + d)];
      }
      if (batch->out[bag * kWorkDim + d] != sum) return Wrong("a sum is wrong");
    }
  }
  return Status::Ok();
}

Status RunTable(const std::shared_ptr<cuda::Device>& device,
                const std::shared_ptr<cuda::DeviceTable>& table, std::vector<float>* values) {
  Result<std::unique_ptr<cuda::TableLookup>> lookup = cuda::TableLookup::Make(device, table);
  if (!lookup.ok()) return lookup.status();
  const std::vector<int64_t> ids = {3, 0, 3};
  const std::vector<float> rows = {9, 9, 9, 9, -1, -2, -3, -4, 5, 6, 7, 8};
  GYR_RETURN_IF_ERROR(table->Update(ids, reinterpret_cast<const std::byte*>(rows.data())));
  std::copy_n(rows.begin() + 4, 4, values->begin());
  std::copy_n(rows.begin() + 8, 4, values->begin() + 3 * kWorkDim);
  const std::vector<int32_t> asked = {0, 3, 19};
  std::vector<float> out(asked.size() * kWorkDim);
  BagGroup group;
  group.table = table->shape();
  group.indices = asked.data();
  group.count = 1;
  group.index_row_stride = 1;
  group.pooling = Pooling::kNone;
  group.out = out.data();
  group.out_row_stride = kWorkDim;
  LookupReport report;
  GYR_RETURN_IF_ERROR((*lookup)->Run(group, 3, OutOfRange::kError, &report));
  for (size_t i = 0; i < asked.size(); ++i) {
    if (std::memcmp(&out[i * kWorkDim], &(*values)[static_cast<size_t>(asked[i]) * kWorkDim],
                    sizeof(float) * kWorkDim) != 0) {
      return Wrong("a row is wrong");
    }
  }
  return Status::Ok();
}

// Driver, device, table, update, lookups in place, of copied ids, and of groups in device memory.
Status Work() {
  Result<std::shared_ptr<cuda::Device>> device = OpenSimulated();
  if (!device.ok()) return device.status();
  std::vector<float> values = Values();
  GYR_RETURN_IF_ERROR(cuda::CheckRoom(
      **device, {{"t", cuda::DeviceTableBytes(Storage::kF32, kWorkDim, kWorkRows)}}));
  Result<std::shared_ptr<cuda::DeviceTable>> table = cuda::CopyTable(*device, ViewOf(values));
  if (!table.ok()) return table.status();
  GYR_RETURN_IF_ERROR(RunTable(*device, *table, &values));
  const std::pair<int64_t, int64_t> shapes[] = {{1, 2}, {1, 512}, {cuda::kInlineGroups + 1, 1}};
  for (const auto& [groups, count] : shapes) {
    Result<WorkBatch> batch = MakeWorkBatch(*device, **table, groups, count, 8);
    if (!batch.ok()) return batch.status();
    GYR_RETURN_IF_ERROR(RunBatch(&*batch, groups, count, values));
  }
  return Status::Ok();
}

TEST(CudaHostTest, WorkIsRightAndLeavesNothing) {
  for (const char* order : {"late", "prompt", "1", "2", "3", "4", "5", "6", "7", "8"}) {
    TheSim().order(order);
    const Status status = Work();
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(TheSim().live(), 0) << order << '\n' << TheSim().Leaks();
    EXPECT_EQ(TheSim().misuses(), 0) << order << ' ' << TheSim().LastMisuse();
  }
  TheSim().order("late");
}

TEST(CudaHostTest, TheReportSeesWhatIsLeft) {
  Result<std::shared_ptr<cuda::Device>> device = OpenSimulated();
  ASSERT_TRUE(device.ok());
  const int before = TheSim().live();
  {
    Result<cuda::DeviceMemory> memory = cuda::DeviceMemory::Allocate(*device, 16);
    ASSERT_TRUE(memory.ok());
    EXPECT_EQ(TheSim().live(), before + 1);
    EXPECT_EQ((*device)->device_bytes(), 16u);
  }
  EXPECT_EQ(TheSim().live(), before);
  EXPECT_EQ((*device)->device_bytes(), 0u);
}

TEST(CudaHostTest, EveryFunctionThatFailsIsATypedErrorAndLeavesNothing) {
  const std::vector<int> errors = {1, 2, 201, 400, 700, 999};
  TheSim().fail(nullptr, 0, 0);
  ASSERT_TRUE(Work().ok());
  int failures = 0;
  for (const auto& [name, calls] : DriverCalls()) {
    EXPECT_GT(calls, 0) << name;
    const int step = std::max(1, calls / 3);
    for (int nth = 1; nth <= calls; nth += step) {
      for (size_t e = 0; e < (nth == 1 ? errors.size() : 1); ++e) {
        TheSim().fail(name.c_str(), nth, errors[e]);
        failures += ExpectTypedFailure(Work(), name, nth, errors[e]) ? 1 : 0;
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_GT(failures, 100);
  TheSim().fail(nullptr, 0, 0);
  EXPECT_TRUE(Work().ok());
}

TEST(CudaHostTest, ErrorsAreNamedEvenWhenTheDriverDoesNot) {
  TheSim().fail("cuGetErrorName", 1, 999);
  Result<std::shared_ptr<cuda::Device>> device = OpenSimulated();
  ASSERT_TRUE(device.ok());
  EXPECT_EQ((*device)->Check(700, "testing").message(),
            "testing on cuda:0 failed: unknown error: simulated");
  TheSim().fail("cuGetErrorString", 1, 999);
  EXPECT_EQ((*device)->Check(700, "testing").message(),
            "testing on cuda:0 failed: CUDA_ERROR_ILLEGAL_ADDRESS");
  TheSim().fail(nullptr, 0, 0);
}

TEST(CudaHostTest, IdsOutOfRangeAreReportedWithTheirValue) {
  Result<std::shared_ptr<cuda::Device>> device = OpenSimulated();
  ASSERT_TRUE(device.ok());
  const std::vector<float> values = Values();
  Result<std::shared_ptr<cuda::DeviceTable>> table = cuda::CopyTable(*device, ViewOf(values));
  ASSERT_TRUE(table.ok());
  for (const int64_t count : {2, 512}) {
    Result<WorkBatch> batch = MakeWorkBatch(*device, **table, 1, count, 8);
    ASSERT_TRUE(batch.ok());
    batch->ids[count + 1] = -2;
    LookupReport report;
    ASSERT_TRUE(batch->lookup->Run(3, &report).ok());
    EXPECT_TRUE(report.failed);
    EXPECT_EQ(report.row, 1);
    EXPECT_EQ(report.position, 1);
    EXPECT_EQ(report.value, -2);
    // The report is blank again, and rows past the end are not looked at.
    batch->ids[count + 1] = 18;
    batch->ids[3 * count] = 19;
    LookupReport next;
    ASSERT_TRUE(batch->lookup->Run(3, &next).ok());
    EXPECT_FALSE(next.failed);
    ASSERT_TRUE(batch->lookup->Run(4, &next).ok());
    EXPECT_EQ(next.row, 3);
    EXPECT_EQ(next.value, 19);
  }
}

TEST(CudaHostTest, ALookupAndAnUpdateOfTheSameRowsDoNotMix) {
  setenv("GYRFALCON_CUDA_DRIVER", GYRFALCON_CUSIM_DRIVER, 1);
  const std::vector<float> values(kWorkRows * kWorkDim, 0.0f);
  Result<std::shared_ptr<const TableStorage>> storage = MakeTable(
      kWorkRows, kWorkDim, Storage::kF32,
      [&](std::byte* to) { std::memcpy(to, values.data(), values.size() * sizeof(float)); });
  ASSERT_TRUE(storage.ok());
  Result<std::shared_ptr<LookupTable>> table = LookupTable::OnDevice(0, "t", storage.value(), {});
  ASSERT_TRUE(table.ok()) << table.status().message();
  LookupTable& on = **table;
  constexpr int kRounds = 40;
  std::thread writer([&] {
    for (int round = 1; round <= kRounds; ++round) {
      const std::vector<float> row(2 * kWorkDim, static_cast<float>(round));
      EXPECT_TRUE(on.Update({5, 7}, reinterpret_cast<const std::byte*>(row.data())).ok());
    }
  });
  std::vector<float> out(2 * kWorkDim);
  const std::vector<int32_t> ids = {5, 7};
  for (int round = 0; round < kRounds; ++round) {
    BagGroup group;
    group.table = on.shape();
    group.indices = ids.data();
    group.count = 1;
    group.index_row_stride = 1;
    group.pooling = Pooling::kNone;
    group.out = out.data();
    group.out_row_stride = kWorkDim;
    LookupReport report;
    ASSERT_TRUE(on.Look(group, 2, OutOfRange::kError, 1, &report).ok());
    for (const float value : out) EXPECT_EQ(value, out[0]);
  }
  writer.join();
}

}  // namespace
}  // namespace gyrfalcon::testing
