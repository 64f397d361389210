// The simulated driver, and one piece of work that calls every function of it.
#ifndef GYRFALCON_TEST_CUDA_HOST_SUPPORT_H_
#define GYRFALCON_TEST_CUDA_HOST_SUPPORT_H_

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <vector>

#include "backends/cuda/batch_lookup.h"
#include "backends/cuda/device.h"
#include "backends/cuda/device_table.h"
#include "backends/cuda/table_lookup.h"
#include "sim_driver.h"

namespace gyrfalcon::testing {

struct Sim {
  SimFail fail = nullptr;
  SimCalls calls = nullptr;
  SimLive live = nullptr;
  SimMisuse misuse = nullptr;
  SimPrompt prompt = nullptr;
  SimLimit limit = nullptr;
};

inline const Sim& TheSim() {
  static const Sim sim = [] {
    void* const library = dlopen(GYRFALCON_SIM_DRIVER, RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library, nullptr) << dlerror();
    const auto find = [&](const char* name) { return dlsym(library, name); };
    return Sim{reinterpret_cast<SimFail>(find("cudasim_fail")),
               reinterpret_cast<SimCalls>(find("cudasim_calls")),
               reinterpret_cast<SimLive>(find("cudasim_live")),
               reinterpret_cast<SimMisuse>(find("cudasim_misuse")),
               reinterpret_cast<SimPrompt>(find("cudasim_prompt")),
               reinterpret_cast<SimLimit>(find("cudasim_limit"))};
  }();
  return sim;
}

inline Result<std::shared_ptr<cuda::Device>> OpenSimulated() {
  Result<const cuda::Driver*> driver = cuda::Driver::Open(GYRFALCON_SIM_DRIVER);
  if (!driver.ok()) return driver.status();
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
