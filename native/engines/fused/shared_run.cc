#include "engines/fused/shared_run.h"

#include <algorithm>
#include <chrono>

#include "core/spin.h"

namespace gyrfalcon::fused {
namespace {

using std::chrono::microseconds;

// Helpers wait for the next step so long, and leave; steps in between take less.
constexpr microseconds kNextStep(100);
// The leader waits for parts that others do: they are of one size, so for part of one.
constexpr microseconds kLastPart(100);
// More parts than threads, because threads come late; each of them prepares x once more.
constexpr int64_t kPartsForThread = 2;

constexpr uint64_t kClosed = ~uint64_t{0};
constexpr int kPartBits = 16;
constexpr uint64_t kPartMask = (uint64_t{1} << kPartBits) - 1;
constexpr uint64_t kNextOffer = uint64_t{1} << (2 * kPartBits);

uint64_t PartsOf(uint64_t offer) { return (offer >> kPartBits) & kPartMask; }
uint64_t NextPart(uint64_t offer) { return offer & kPartMask; }

}  // namespace

void SharedRun::Open() { offer_.store(0, std::memory_order_release); }

void SharedRun::Close() { offer_.store(kClosed, std::memory_order_release); }

bool SharedRun::TakePart(uint64_t* offer, std::byte* aux) {
  while (*offer != kClosed && NextPart(*offer) < PartsOf(*offer)) {
    if (!offer_.compare_exchange_weak(*offer, *offer + 1, std::memory_order_acq_rel)) continue;
    // The leader waits for this part before it changes the step or the frame.
    Frame frame = frame_;
    frame.aux = aux;
    frame.part = static_cast<int64_t>(NextPart(*offer));
    frame.parts = static_cast<int64_t>(PartsOf(*offer));
    step_->run(*step_, frame);
    done_.fetch_add(1, std::memory_order_acq_rel);
    done_.notify_one();
    return true;
  }
  return false;
}

void SharedRun::Lead(const Step& step, const Frame& frame, int64_t threads) {
  const int64_t parts =
      std::min({step.most_parts, kPartsForThread * threads, static_cast<int64_t>(kPartMask)});
  step_ = &step;
  frame_ = frame;
  done_.store(0, std::memory_order_relaxed);
  // Nobody else writes it: all parts of the step before are done.
  uint64_t offer = offer_.load(std::memory_order_relaxed);
  offer = (offer & ~(kNextOffer - 1)) + kNextOffer + (static_cast<uint64_t>(parts) << kPartBits);
  offer_.store(offer, std::memory_order_release);
  while (TakePart(&offer, frame.aux)) offer = offer_.load(std::memory_order_acquire);
  for (int64_t done = done_.load(std::memory_order_acquire); done < parts;) {
    const int64_t now = SpinWhile(done_, done, kLastPart);
    if (now == done) done_.wait(done, std::memory_order_acquire);
    done = done_.load(std::memory_order_acquire);
  }
}

void SharedRun::Help(std::byte* aux) {
  uint64_t offer = offer_.load(std::memory_order_acquire);
  for (;;) {
    while (TakePart(&offer, aux)) offer = offer_.load(std::memory_order_acquire);
    if (offer == kClosed) return;
    const uint64_t now = SpinWhile(offer_, offer, kNextStep);
    if (now == offer) return;
    offer = now;
  }
}

}  // namespace gyrfalcon::fused
