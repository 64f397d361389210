// The threads of one block while it runs, its shared memory, and what its lanes do together.
#ifndef GYRFALCON_CUSIM_BLOCK_H_
#define GYRFALCON_CUSIM_BLOCK_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "cusim/machine.h"

namespace cusim {

inline constexpr int kLanes = 32;

// What ends a launch.
struct Trap {
  Fault fault;
  std::string what;
};

struct Thread {
  int pc = 0;
  bool exited = false;
  int barrier = -1;  // waits at bar.sync here
  uint32_t x = 0;
  uint32_t y = 0;
  uint32_t z = 0;
  std::span<uint64_t> registers;  // of the block's
  std::span<std::byte> local;
};

using Lanes = std::vector<int>;

// A bit for each, by its place in the warp.
uint32_t MaskOf(const Lanes& lanes);

class Block {
 public:
  Block(const Launch& launch, Memory* memory, Dim3 index, std::mt19937_64* random,
        Counters* counters)
      : launch_(launch),
        kernel_(*launch.kernel),
        memory_(*memory),
        index_(index),
        random_(*random),
        counters_(*counters),
        shared_(kernel_.shared_bytes + launch.dynamic_shared),
        shared_written_(shared_.size()) {
    const Dim3& size = launch.block;
    const auto num_registers = static_cast<size_t>(kernel_.num_registers);
    const size_t num_threads = size_t{size.x} * size.y * size.z;
    threads_.reserve(num_threads);
    registers_.resize(num_threads * num_registers);
    local_.resize(num_threads * kernel_.local_bytes);
    for (uint32_t z = 0; z < size.z; ++z) {
      for (uint32_t y = 0; y < size.y; ++y) {
        for (uint32_t x = 0; x < size.x; ++x) {
          const size_t number = threads_.size();
          Thread& thread = threads_.emplace_back();
          thread.x = x;
          thread.y = y;
          thread.z = z;
          thread.registers =
              std::span(registers_).subspan(number * num_registers, num_registers);
          thread.local =
              std::span(local_).subspan(number * kernel_.local_bytes, kernel_.local_bytes);
        }
      }
    }
    alive_.resize((threads_.size() + kLanes - 1) / kLanes);
    std::iota(alive_.begin(), alive_.end(), 0);
  }

  // Runs some instructions of each warp, in an order that the seed chooses. False when all threads
  // have ended.
  bool Round() {
    bool moved = false;
    std::shuffle(alive_.begin(), alive_.end(), random_);
    for (const int warp : alive_) {
      for (uint64_t steps = 1 + random_() % 64; steps > 0 && Step(warp); --steps) moved = true;
    }
    std::erase_if(alive_, [this](int warp) { return Members(warp).empty(); });
    if (!moved && !alive_.empty() && !ReleaseBarrier()) {
      at_ = Members(alive_.front()).front();
      throw Trap{Fault::kLaunchFailure, Deadlock()};
    }
    return !alive_.empty();
  }

  // Of the thread at hand, for reports.
  std::string Where() const {
    const Thread& thread = threads_[static_cast<size_t>(at_)];
    const size_t pc = std::min(static_cast<size_t>(thread.pc), kernel_.code.size() - 1);
    return "kernel " + kernel_.name + ", PTX line " + std::to_string(kernel_.code[pc].line) +
           ", block " + std::to_string(index_.x) + ", thread " + std::to_string(thread.x) +
           " (lane " + std::to_string(at_ % kLanes) + ")";
  }

 private:
  // Threads of a warp that have not exited.
  Lanes Members(int warp) const {
    Lanes members;
    const int end = std::min((warp + 1) * kLanes, static_cast<int>(threads_.size()));
    for (int i = warp * kLanes; i < end; ++i) {
      if (!threads_[static_cast<size_t>(i)].exited) members.push_back(i);
    }
    return members;
  }

  const Instruction& Code(int pc) const {
    if (static_cast<size_t>(pc) >= kernel_.code.size()) {
      throw Trap{Fault::kLaunchFailure, "ran past the end of the kernel"};
    }
    return kernel_.code[static_cast<size_t>(pc)];
  }

  // Runs one instruction of some lanes of the warp. False when all of them wait.
  bool Step(int warp) {
    const Lanes members = Members(warp);
    std::set<int> sorted;
    for (const int i : members) {
      if (threads_[static_cast<size_t>(i)].barrier < 0) {
        sorted.insert(threads_[static_cast<size_t>(i)].pc);
      }
    }
    // The lowest first, which brings diverged lanes together again; others where that one waits.
    std::vector<int> places(sorted.begin(), sorted.end());
    if (launch_.adversarial) std::shuffle(places.begin(), places.end(), random_);
    for (const int pc : places) {
      Lanes here;
      for (const int i : members) {
        const Thread& thread = threads_[static_cast<size_t>(i)];
        if (thread.pc == pc && thread.barrier < 0) here.push_back(i);
      }
      at_ = here.front();
      if (Execute(Code(pc), here, warp)) {
        ++counters_.warp_instructions;
        counters_.thread_instructions += here.size();
        return true;
      }
    }
    return false;
  }

  bool ReleaseBarrier() {
    bool any = false;
    for (const Thread& thread : threads_) {
      if (thread.exited) {
        // A thread that is gone can never arrive.
        if (std::any_of(threads_.begin(), threads_.end(),
                        [](const Thread& other) { return other.barrier >= 0; })) {
          return false;
        }
      } else if (thread.barrier < 0) {
        return false;
      }
      any = any || thread.barrier >= 0;
    }
    if (!any) return false;
    for (Thread& thread : threads_) {
      thread.barrier = -1;
      ++thread.pc;
    }
    return true;
  }

  std::string Deadlock() const {
    for (const Thread& thread : threads_) {
      if (thread.barrier >= 0) return "a barrier that not all threads of the block reach";
    }
    return "lanes of a .sync mask that never meet";
  }

  Thread& At(int i) { return threads_[static_cast<size_t>(i)]; }

  // The lanes among `here` whose predicate holds.
  Lanes Active(const Instruction& instruction, const Lanes& here) {
    if (instruction.predicate < 0) return here;
    Lanes active;
    for (const int i : here) {
      const bool holds = At(i).registers[static_cast<size_t>(instruction.predicate)] != 0;
      if (holds != instruction.predicate_negated) active.push_back(i);
    }
    return active;
  }

  bool Execute(const Instruction& instruction, const Lanes& here, int warp);
  void LoadOrStore(const Instruction& instruction, const Lanes& active);
  void AtomicLane(const Instruction& instruction, int i);
  void Scalar(const Instruction& instruction, int i);
  bool Sync(const Instruction& instruction, const Lanes& active, int warp);
  void Shuffle(const Instruction& instruction, const Lanes& active, uint32_t mask);
  void Vote(const Instruction& instruction, const Lanes& active);
  uint64_t Read(const Operand& operand, Type type, int i);
  uint64_t ReadSpecial(Special special, int i) const;
  void Write(const Operand& operand, uint64_t bits, Type type, int i);
  std::byte* Resolve(Space space, uint64_t address, size_t bytes, size_t alignment,
                     Memory::Access access, int i, bool* global);
  uint64_t AddressOf(const Instruction& instruction, const Operand& operand, int i);

  const Launch& launch_;
  const Kernel& kernel_;
  Memory& memory_;
  Dim3 index_;
  std::mt19937_64& random_;
  Counters& counters_;
  std::vector<Thread> threads_;
  std::vector<uint64_t> registers_;
  std::vector<std::byte> local_;
  std::vector<int> alive_;  // warps
  std::vector<std::byte> shared_;
  std::vector<bool> shared_written_;
  std::set<uint64_t> l1_;  // sectors
  int at_ = 0;
};

}  // namespace cusim

#endif  // GYRFALCON_CUSIM_BLOCK_H_
