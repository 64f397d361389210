// The simulated driver, and one piece of work that calls every function of it.
#ifndef GYRFALCON_TEST_CUDA_HOST_SUPPORT_H_
#define GYRFALCON_TEST_CUDA_HOST_SUPPORT_H_

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
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
