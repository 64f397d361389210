// Lets lookups in and out, and lets a writer wait for those that are inside.
#ifndef GYRFALCON_BACKENDS_CUDA_LOOKUP_GATE_H_
#define GYRFALCON_BACKENDS_CUDA_LOOKUP_GATE_H_

#include <atomic>
#include <cstdint>
#include <mutex>

namespace gyrfalcon::cuda {

// What a writer needs of it.
class LookupFence {
 public:
  virtual ~LookupFence() = default;
  // Returns when every lookup that was inside at the call has left. Others come and go meanwhile.
  virtual void Drain() = 0;
  // Returns when none is inside; none enters until Open.
  virtual void Close() = 0;
  virtual void Open() = 0;
};

// Enter and Leave take no lock. Any thread; Drain and Close wait for one another.
class LookupGate final : public LookupFence {
 public:
  // Before a lookup is launched. Waits while the gate is closed. What it returns goes to Leave.
  uint32_t Enter();
  // When its last load has been done: the launch is known to have ended.
  void Leave(uint32_t side);

  void Drain() override;
  void Close() override;
  void Open() override;

 private:
  static constexpr uint32_t kClosed = 2;

  void WaitUntilEmpty(uint32_t side);

  std::mutex writers_;
  // The side that lookups enter by, and kClosed. All of it sequentially consistent: either a
  // lookup sees that the side has changed, or the writer sees that it is inside.
  std::atomic<uint32_t> state_{0};
  std::atomic<int32_t> inside_[2] = {0, 0};
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_LOOKUP_GATE_H_
