// A block of few rows on several threads: they share the columns of its large products. Blocks of
// rows would each read all weights, which is what takes the time.
#ifndef GYRFALCON_ENGINES_FUSED_SHARED_RUN_H_
#define GYRFALCON_ENGINES_FUSED_SHARED_RUN_H_

#include <atomic>
#include <cstdint>

#include "engines/fused/steps.h"

namespace gyrfalcon::fused {

// One thread leads: it does all steps, one after another, and offers the parts of those that have
// some. Others may help; whether and when they come changes nothing but the time it takes.
// Allocates nothing. Open, then Lead any number of times and Close on one thread; Help on others.
class SharedRun {
 public:
  void Open();

  // Does a step: parts of it in other threads' memory for a step, the rest in the frame.
  // Precondition: step.most_parts > 1.
  void Lead(const Step& step, const Frame& frame, int64_t threads);

  void Close();

  // Does parts, `aux` being this thread's memory for a step, until the run is closed or nothing was
  // offered for a while.
  void Help(std::byte* aux);

 private:
  // Does one part of what is offered, if there is one left.
  bool TakePart(uint64_t* offer, std::byte* aux);

  // A count of steps, then 16 bits each: parts of this step, and the next one that nobody has.
  // No parts: nothing is offered.
  std::atomic<uint64_t> offer_{0};
  std::atomic<int64_t> done_{0};  // parts
  const Step* step_ = nullptr;    // and frame_: of whoever holds a part
  Frame frame_;
};

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_SHARED_RUN_H_
