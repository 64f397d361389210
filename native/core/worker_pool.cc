#include "core/worker_pool.h"

#include <algorithm>
#include <utility>

#include "core/current_cpu.h"

namespace gyrfalcon {

namespace {

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

WorkerPool::WorkerPool(size_t threads, std::chrono::nanoseconds spin) : spin_(spin) {
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

WorkerPool::~WorkerPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

WorkerPool& WorkerPool::Shared() {
  static auto* pool = new WorkerPool(std::max(1U, std::thread::hardware_concurrency()));
  return *pool;
}

void WorkerPool::Submit(Job* job) {
  job->next_ = nullptr;
  {
    const std::lock_guard lock(mutex_);
    if (tail_ == nullptr) {
      head_ = job;
    } else {
      tail_->next_ = job;
    }
    tail_ = job;
    submitter_cpu_ = CurrentCpu();
    submitted_.fetch_add(1, std::memory_order_relaxed);
    // The worker that spins looks into the queue before it sleeps, so it needs no other call. Each
    // job is promised to one worker; who finds the queue empty was overtaken by a busy one.
    if (std::exchange(spinning_, false)) return;
  }
  wake_.notify_one();
}

bool WorkerPool::Remove(Job* job) {
  const std::lock_guard lock(mutex_);
  Job* before = nullptr;
  for (Job* at = head_; at != nullptr; before = at, at = at->next_) {
    if (at != job) continue;
    (before == nullptr ? head_ : before->next_) = at->next_;
    if (tail_ == at) tail_ = before;
    return true;
  }
  return false;
}

bool WorkerPool::MaySpin() const {
  return spin_.count() > 0 && head_ == nullptr && !stopping_ && !spinning_ &&
         CurrentCpu() != submitter_cpu_;
}

void WorkerPool::Spin(std::unique_lock<std::mutex>* lock) {
  spinning_ = true;
  const uint64_t seen = submitted_.load(std::memory_order_relaxed);
  lock->unlock();
  const auto end = std::chrono::steady_clock::now() + spin_;
  do {
    for (int i = 0; i < 32 && submitted_.load(std::memory_order_relaxed) == seen; ++i) Pause();
  } while (submitted_.load(std::memory_order_relaxed) == seen &&
           std::chrono::steady_clock::now() < end);
  lock->lock();
  // Nobody else can be spinning: a promise was made before the next one began.
  if (submitted_.load(std::memory_order_relaxed) == seen) spinning_ = false;
}

void WorkerPool::Work() {
  for (bool ran = false;; ran = true) {
    Job* job = nullptr;
    {
      std::unique_lock lock(mutex_);
      if (ran && MaySpin()) Spin(&lock);
      wake_.wait(lock, [this] { return head_ != nullptr || stopping_; });
      if (head_ == nullptr) return;
      job = head_;
      head_ = job->next_;
      if (head_ == nullptr) tail_ = nullptr;
    }
    job->Run();
  }
}

}  // namespace gyrfalcon
