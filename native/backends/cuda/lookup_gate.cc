#include "backends/cuda/lookup_gate.h"

namespace gyrfalcon::cuda {

uint32_t LookupGate::Enter() {
  for (;;) {
    const uint32_t state = state_.load();
    if ((state & kClosed) != 0) {
      state_.wait(state);
      continue;
    }
    inside_[state].fetch_add(1);
    if (state_.load() == state) return state;
    // A writer turned the gate in between and may not have counted this one.
    Leave(state);
  }
}

void LookupGate::Leave(uint32_t side) {
  if (inside_[side].fetch_sub(1) == 1) inside_[side].notify_all();
}

void LookupGate::WaitUntilEmpty(uint32_t side) {
  for (int32_t inside = inside_[side].load(); inside != 0; inside = inside_[side].load()) {
    inside_[side].wait(inside);
  }
}

void LookupGate::Drain() {
  const std::lock_guard lock(writers_);
  WaitUntilEmpty(state_.fetch_xor(1));
}

void LookupGate::Close() {
  writers_.lock();
  state_.fetch_or(kClosed);
  WaitUntilEmpty(0);
  WaitUntilEmpty(1);
}

void LookupGate::Open() {
  state_.fetch_and(~kClosed);
  state_.notify_all();
  writers_.unlock();
}

}  // namespace gyrfalcon::cuda
