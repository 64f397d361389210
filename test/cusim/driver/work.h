// Work of streams: what is enqueued, captured into graphs, and done bit by bit, later.
#ifndef GYRFALCON_CUSIM_DRIVER_WORK_H_
#define GYRFALCON_CUSIM_DRIVER_WORK_H_

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "cusim/machine.h"
#include "cusim/memory.h"

namespace cusim {

struct Stream;

// A failure of work: the context is lost.
struct WorkFault {
  CUresult error = CUDA_SUCCESS;
  std::string report;
};

// One piece of work while it is done.
class Task {
 public:
  virtual ~Task() = default;
  virtual bool Ready() const { return true; }
  // Does some of it. True when all of it is done, or failed.
  virtual bool Advance(Memory* memory, std::mt19937_64* random, WorkFault* fault) = 0;
  // Whether it names an address of this range.
  virtual bool Uses(uint64_t, size_t) const { return false; }
};

// Begins a task anew: a graph does so at each launch.
using Work = std::function<std::unique_ptr<Task>()>;

// Device or mapped host memory, either way. In pieces, in any order.
Work CopyWork(uint64_t to, uint64_t from, size_t bytes);
// Of bytes that are the task's own.
Work StagedCopyWork(uint64_t to, std::vector<std::byte> bytes);
Work FillWork(uint64_t to, std::byte value, size_t bytes);
// Counters are added up in `totals` when it ends.
struct LaunchTotals {
  uint64_t launches = 0;
  Counters counters;
};
Work LaunchWork(Launch launch, LaunchTotals* totals);
// Until so much of another stream is done.
Work WaitWork(std::shared_ptr<Stream> stream, uint64_t position);

struct GraphNode {
  Work work;
  std::vector<size_t> after;  // earlier nodes
};
using GraphNodes = std::vector<GraphNode>;
// Nodes in any order that their edges allow.
Work GraphWork(std::shared_ptr<const GraphNodes> nodes);

// Streams that are captured into one graph.
struct Capture {
  Stream* origin = nullptr;
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  std::thread::id thread;
  bool invalid = false;
  GraphNodes nodes;
  std::set<Stream*> streams;
};

struct Stream {
  std::deque<std::unique_ptr<Task>> queue;
  std::deque<std::shared_ptr<Stream>> waits_for;  // of the queue's tasks, null where for none
  uint64_t enqueued = 0;
  uint64_t done = 0;
  std::shared_ptr<Capture> capture;
  std::vector<size_t> tail;  // nodes that the next captured one comes after
};

// When what was enqueued is done.
enum class Order : uint8_t {
  kLate,    // not before somebody waits for it, and nothing else
  kPrompt,  // when it is enqueued
  kSeeded,  // some of it at each call, any stream's, in pieces
};

class Scheduler {
 public:
  // Enqueues, or captures.
  void Enqueue(Stream* stream, Work work, std::shared_ptr<Stream> waits_for = nullptr);

  // Does a piece of what this stream waits for, or of anything. False when nothing can go on.
  bool Advance(Stream* wanted, Memory* memory, WorkFault* fault);
  // Called at each call of the driver, which is when time passes here.
  void Drift(Memory* memory, WorkFault* fault);
  bool Busy() const;
  void DropAll();

  std::vector<std::shared_ptr<Stream>> streams;
  Order order = Order::kLate;
  std::mt19937_64 random{1};

 private:
  bool AdvanceHead(Stream* stream, Memory* memory, WorkFault* fault);

  uint64_t slow_ = 0;
};

}  // namespace cusim

#endif  // GYRFALCON_CUSIM_DRIVER_WORK_H_
