// The simulated driver, and one piece of work that calls every function of it.
#ifndef GYRFALCON_TEST_CUDA_HOST_SUPPORT_H_
#define GYRFALCON_TEST_CUDA_HOST_SUPPORT_H_

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "backends/cuda/batch_lookup.h"
#include "backends/cuda/device.h"
#include "backends/cuda/device_table.h"
#include "backends/cuda/table_lookup.h"
#include "cusim/driver/control.h"

namespace gyrfalcon::testing {

struct Sim {
  CusimFail fail = nullptr;
  CusimFailWork fail_work = nullptr;
  CusimCalls calls = nullptr;
  CusimLive live = nullptr;
  CusimLeaks leaks = nullptr;
  CusimMisuses misuses = nullptr;
  CusimLastMisuse last_misuse = nullptr;
  CusimOrder order = nullptr;
  CusimLimit limit = nullptr;
  CusimTotals totals = nullptr;
  CusimReset reset = nullptr;
  void* library = nullptr;

  std::string Leaks() const {
    std::array<char, 4096> text{};
    leaks(text.data(), text.size());
    return text.data();
  }
  std::string LastMisuse() const {
    std::array<char, 1024> text{};
    last_misuse(text.data(), text.size());
    return text.data();
  }
};

inline const Sim& TheSim() {
  static const Sim made = [] {
    Sim sim;
    sim.library = dlopen(GYRFALCON_CUSIM_DRIVER, RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(sim.library, nullptr) << dlerror();
    const auto find = [&](const char* name, auto* to) {
      *to = reinterpret_cast<std::remove_pointer_t<decltype(to)>>(dlsym(sim.library, name));
      EXPECT_NE(*to, nullptr) << name;
    };
    find("cusim_fail", &sim.fail);
    find("cusim_fail_work", &sim.fail_work);
    find("cusim_calls", &sim.calls);
    find("cusim_live", &sim.live);
    find("cusim_leaks", &sim.leaks);
    find("cusim_misuses", &sim.misuses);
    find("cusim_last_misuse", &sim.last_misuse);
    find("cusim_order", &sim.order);
    find("cusim_limit", &sim.limit);
    find("cusim_totals", &sim.totals);
    find("cusim_reset", &sim.reset);
    return sim;
  }();
  return made;
}

inline Result<std::shared_ptr<cuda::Device>> OpenSimulated() {
  Result<const cuda::Driver*> driver = cuda::Driver::Open(GYRFALCON_CUSIM_DRIVER);
  if (!driver.ok()) return driver.status();
  // A driver is never closed: leak checkers find it here.
  static auto* const opened = new std::vector<const cuda::Driver*>;
  opened->push_back(*driver);
  return cuda::Device::OpenOf(**driver, 0);
}

// Every function that is used of the driver but those that are only asked about errors, with its
// calls since Sim::fail.
inline std::vector<std::pair<std::string, int>> DriverCalls() {
  std::vector<std::pair<std::string, int>> calls = {
      {"cuGetProcAddress", TheSim().calls("cuGetProcAddress")}};
#define GYR_TEST_FUNCTION(name, symbol, parameters)          \
  if (!std::string_view(symbol).starts_with("cuGetError")) { \
    calls.emplace_back(symbol, TheSim().calls(symbol));      \
  }
  GYR_CUDA_FUNCTIONS(GYR_TEST_FUNCTION)
#undef GYR_TEST_FUNCTION
  return calls;
}

// Functions that give something back: their failure is nobody's to handle. The others are also
// called before something is given back, or when nobody needs the result.
inline bool FailsUnnoticed(const std::string& name) {
  return name.find("Destroy") != std::string::npos || name.find("Free") != std::string::npos ||
         name == "cuDevicePrimaryCtxRelease" || name == "cuModuleUnload" ||
         name == "cuCtxPopCurrent" || name == "cuStreamSynchronize" || name == "cuCtxPushCurrent";
}

// What came of work of which one call was made to fail: a typed error, nothing left, no rule of the
// driver broken. Whether the work failed.
inline bool ExpectTypedFailure(const Status& status, const std::string& name, int nth, int error) {
  const std::string what = name + " call " + std::to_string(nth) + " error " +
                           std::to_string(error) + ": " + status.message();
  EXPECT_EQ(TheSim().live(), 0) << what << '\n' << TheSim().Leaks();
  EXPECT_EQ(TheSim().misuses(), 0) << what << ' ' << TheSim().LastMisuse();
  if (status.ok()) {
    EXPECT_TRUE(FailsUnnoticed(name)) << what;
    return false;
  }
  // A function that cannot be found is one that the driver does not have.
  if (error == cuda::kCuOutOfMemory && name != "cuGetProcAddress") {
    EXPECT_EQ(status.code(), ErrorCode::kOutOfMemory) << what;
  } else {
    EXPECT_TRUE(status.code() == ErrorCode::kDeviceFailed ||
                status.code() == ErrorCode::kDeviceUnavailable)
        << what;
  }
  return true;
}

inline constexpr int64_t kWorkRows = 20;
inline constexpr int64_t kWorkDim = 4;

// A batch of `groups` groups over one table: fixed hotness `count`, sums.
struct WorkBatch {
  std::unique_ptr<cuda::PinnedMemory> memory;
  std::unique_ptr<cuda::BatchLookup> lookup;
  int32_t* ids = nullptr;  // [capacity, groups * count]
  float* out = nullptr;    // [capacity, groups * dim]
};

inline Result<WorkBatch> MakeWorkBatch(const std::shared_ptr<cuda::Device>& device,
                                       const cuda::DeviceTable& table, int64_t groups,
                                       int64_t count, int64_t capacity) {
  static const int64_t kAdd = 1;
  const auto ids = static_cast<size_t>(capacity * groups * count);
  const auto floats = static_cast<size_t>(capacity * groups * kWorkDim);
  const size_t out_at = (ids * 4 + 63) / 64 * 64;
  Result<cuda::PinnedMemory> memory = cuda::PinnedMemory::Allocate(device, out_at + floats * 4);
  if (!memory.ok()) return memory.status();
  WorkBatch batch;
  batch.memory = std::make_unique<cuda::PinnedMemory>(std::move(*memory));
  batch.ids = reinterpret_cast<int32_t*>(batch.memory->data());
  batch.out = reinterpret_cast<float*>(batch.memory->data() + out_at);
  std::vector<BagGroup> list(static_cast<size_t>(groups));
  for (size_t g = 0; g < list.size(); ++g) {
    BagGroup& group = list[g];
    group.table = table.shape();
    group.indices = batch.ids + g * static_cast<size_t>(count);
    group.index_row_stride = groups * count;
    group.count = count;
    group.add = &kAdd;
    group.add_count = 1;
    group.out = batch.out + g * kWorkDim;
    group.out_row_stride = groups * kWorkDim;
  }
  const std::vector<const cuda::DeviceTable*> tables(list.size(), &table);
  Result<std::unique_ptr<cuda::BatchLookup>> lookup = cuda::BatchLookup::Make(
      device, std::move(list), tables, {batch.memory.get()}, capacity, OutOfRange::kError);
  if (!lookup.ok()) return lookup.status();
  batch.lookup = std::move(*lookup);
  return batch;
}

}  // namespace gyrfalcon::testing

#endif  // GYRFALCON_TEST_CUDA_HOST_SUPPORT_H_
