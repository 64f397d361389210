// The threads that asynchronous scoring runs on. Bounded, started at first use, one pool a process.
//
// A worker that ran out of work looks for more for kSpin before it sleeps: waking a sleeping thread
// costs more than a small score. One worker at a time does so, on another core than the one that
// the last job came from: there it would only keep who submits from running.
#ifndef GYRFALCON_CORE_WORKER_POOL_H_
#define GYRFALCON_CORE_WORKER_POOL_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace gyrfalcon {

// A unit of work; intrusive, so that queueing allocates nothing. The owner keeps it alive until Run
// returned or Remove succeeded.
class Job {
 public:
  virtual ~Job() = default;
  virtual void Run() = 0;  // on a worker; must not throw; may destroy the job

 private:
  friend class WorkerPool;
  Job* next_ = nullptr;
};

class WorkerPool {
 public:
  static constexpr std::chrono::microseconds kSpin{20};

  explicit WorkerPool(size_t threads, std::chrono::nanoseconds spin = kSpin);
  // Runs what is queued, then joins.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // One thread a core. Leaked on purpose: at process exit its threads are parked in a wait, and
  // joining them from a static destructor could wait for code that is already gone.
  static WorkerPool& Shared();

  void Submit(Job* job);  // first in, first out
  // Takes a job that has not begun out of the queue. False: it runs or ran.
  bool Remove(Job* job);

 private:
  void Work();
  bool MaySpin() const;  // mutex held
  // Until a job was submitted or the time is over; the lock is open meanwhile.
  void Spin(std::unique_lock<std::mutex>* lock);

  std::mutex mutex_;
  std::condition_variable wake_;
  Job* head_ = nullptr;
  Job* tail_ = nullptr;
  bool stopping_ = false;
  bool spinning_ = false;               // a worker spins and was promised no job yet
  std::optional<int> submitter_cpu_;    // of the last job
  std::atomic<uint64_t> submitted_{0};  // written under mutex_
  const std::chrono::nanoseconds spin_;
  std::vector<std::thread> threads_;
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_WORKER_POOL_H_
