// Runs one kernel launch: blocks of threads in warps of 32, each thread with a program counter of
// its own. Lanes of a warp that stand at one instruction run it together.
#ifndef GYRFALCON_CUSIM_MACHINE_H_
#define GYRFALCON_CUSIM_MACHINE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cusim/memory.h"
#include "cusim/ptx.h"

namespace cusim {

struct Dim3 {
  uint32_t x = 1;
  uint32_t y = 1;
  uint32_t z = 1;
};

struct Counters {
  uint64_t warp_instructions = 0;
  uint64_t thread_instructions = 0;
  uint64_t load_requests = 0;  // global memory, by warp
  uint64_t store_requests = 0;
  uint64_t load_sectors = 0;  // 32 bytes, distinct ones of a request
  uint64_t fetched_sectors = 0;  // of these, what a first-level cache of the block had not kept
  uint64_t store_sectors = 0;
  uint64_t load_bytes = 0;  // that threads asked for
  uint64_t store_bytes = 0;
};

enum class Fault : uint8_t { kNone, kIllegalAddress, kMisaligned, kLaunchFailure };

struct LaunchResult {
  Fault fault = Fault::kNone;
  std::string report;  // where and what, when there was a fault
  Counters counters;
};

class Block;

struct Launch {
  const Kernel* kernel = nullptr;
  Dim3 grid;
  Dim3 block;
  uint32_t dynamic_shared = 0;
  std::vector<std::byte> parameters;
  uint64_t seed = 0;  // of the order of warps
  // Diverged lanes go on in any order, not the one that brings them together soonest.
  bool adversarial = false;
};

// A launch that runs bit by bit: one block after another, in an order that the seed chooses.
class RunningLaunch {
 public:
  RunningLaunch(Launch launch, Memory* memory);
  ~RunningLaunch();
  RunningLaunch(const RunningLaunch&) = delete;
  RunningLaunch& operator=(const RunningLaunch&) = delete;

  // Goes on for some rounds of a block's warps. False when the launch has ended, or faulted.
  bool Advance(uint64_t rounds);
  const Launch& launch() const { return launch_; }
  const LaunchResult& result() const { return result_; }

 private:
  bool Begin();

  const Launch launch_;
  Memory* memory_;
  LaunchResult result_;
  std::mt19937_64 random_;
  std::vector<uint64_t> blocks_;  // that are to come, the next one last
  std::unique_ptr<Block> block_;
};

// All of it.
LaunchResult RunLaunch(const Launch& launch, Memory* memory);

}  // namespace cusim

#endif  // GYRFALCON_CUSIM_MACHINE_H_
