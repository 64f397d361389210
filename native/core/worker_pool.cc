#include "core/worker_pool.h"

#include <algorithm>

namespace gyrfalcon {

WorkerPool::WorkerPool(size_t threads) {
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

void WorkerPool::Work() {
  while (true) {
    Job* job = nullptr;
    {
      std::unique_lock lock(mutex_);
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
