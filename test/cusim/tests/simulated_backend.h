// The lookup kernel on the simulator as one more backend: what the CPU's tests run against.
#ifndef GYRFALCON_CUSIM_TESTS_SIMULATED_BACKEND_H_
#define GYRFALCON_CUSIM_TESTS_SIMULATED_BACKEND_H_

#include <string>
#include <vector>

#include "backends/lookup.h"
#include "cusim/machine.h"

namespace gyrfalcon::testing {

// What the last request on this thread cost.
struct SimulatedLaunch {
  cusim::Fault fault = cusim::Fault::kNone;
  std::string report;  // what the fault was
  cusim::Counters counters;
  int groups = 0;
  bool by_value = false;  // its groups travelled in the kernel's parameters
};
const SimulatedLaunch& LastLaunch();

// While one exists, requests run the PTX that the build made with every match of a regular
// expression replaced, and their faults fail no test. An expression without a match does.
class KernelEdit {
 public:
  KernelEdit(const std::string& what, const std::string& by);
  ~KernelEdit();
  KernelEdit(const KernelEdit&) = delete;
  KernelEdit& operator=(const KernelEdit&) = delete;
};

// Which tables lie in host memory and have a cache, with some of their rows in it. Half of them, but
// while one of these exists. Where all have one, every touch is recorded, else one of four.
enum class Caching : uint8_t { kNever, kHalf, kAlways };

class WithCaches {
 public:
  explicit WithCaches(Caching which);
  ~WithCaches();
  WithCaches(const WithCaches&) = delete;
  WithCaches& operator=(const WithCaches&) = delete;
};

// What the last request on this thread recorded in the cache of its last cached table: cache_args.h.
const std::vector<uint32_t>& LastTouches();

const LookupBackend& SimulatedBackend();

// The same with outputs in f16 on the device; they come back as f32.
const LookupBackend& SimulatedHalfBackend();

}  // namespace gyrfalcon::testing

#endif  // GYRFALCON_CUSIM_TESTS_SIMULATED_BACKEND_H_
