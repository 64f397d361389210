// The threads that asynchronous scoring runs on. Bounded, started at first use, one pool a process.
#ifndef GYRFALCON_CORE_WORKER_POOL_H_
#define GYRFALCON_CORE_WORKER_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <mutex>
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
  explicit WorkerPool(size_t threads);
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

  std::mutex mutex_;
  std::condition_variable wake_;
  Job* head_ = nullptr;
  Job* tail_ = nullptr;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_WORKER_POOL_H_
