#include "napi/completions.h"

#include <chrono>
#include <limits>
#include <utility>

#include "core/current_cpu.h"
#include "napi/errors.h"
#include "napi/guard.h"

namespace gyrfalcon::napi {
namespace {

int64_t Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Status Aborted() { return {ErrorCode::kAborted, "the score was aborted"}; }

}  // namespace

void ScoreJob::Run() {
  cpu_ = CurrentCpu();
  queue_ns_.store(Now() - submitted_ns_, std::memory_order_relaxed);
  try {
    status_ = cancelled_.load() ? Aborted() : batch_->Score(rows_);
  } catch (...) {
    status_ = CaughtStatus();
  }
  if (cancelled_.load() && !status_.ok()) status_ = Aborted();
  completions_->Finish(this);
}

Napi::Value ScoreJob::Submit(Napi::Env env, int64_t rows, const std::shared_ptr<ScoreJob>& self) {
  // Not node-addon-api's Deferred: in an environment that is going away it has a promise of
  // garbage.
  napi_value promise = nullptr;
  if (napi_create_promise(env, &deferred_, &promise) != napi_ok) {
    batch_->Release();
    return env.Undefined();
  }
  cancelled_.store(false);
  status_ = Status::Ok();
  rows_ = rows;
  submitted_ns_ = Now();
  self_ = self;
  completions_->Begin(env, this);
  WorkerPool::Shared().Submit(this);
  return Napi::Value(env, promise);
}

void ScoreJob::Cancel() {
  if (self_ == nullptr || cancelled_.exchange(true)) return;
  if (WorkerPool::Shared().Remove(this)) {
    status_ = Aborted();
    completions_->Withdraw(this);
  } else {
    batch_->Cancel();
  }
}

// Infinite where the worker shared this thread's core: to stay awake for the next one would keep
// the worker from running.
double ScoreJob::Work() const {
  if (cpu_ == CurrentCpu()) return std::numeric_limits<double>::infinity();
  const ScoreTimes& times = batch_->times();
  return static_cast<double>(times.lookup_ns.load(std::memory_order_relaxed) +
                             times.engine_ns.load(std::memory_order_relaxed));
}

void ScoreJob::Settle(Napi::Env env) {
  const std::shared_ptr<ScoreJob> keep = std::move(self_);
  self_.reset();
  napi_deferred deferred = std::exchange(deferred_, nullptr);
  batch_->Release();
  if (status_.ok()) {
    napi_resolve_deferred(env, deferred, Napi::Number::New(env, Work()));
  } else {
    napi_reject_deferred(env, deferred, MakeError(env, status_));
  }
}

void Completions::Open(Napi::Env env) {
  const Napi::String name = Napi::String::New(env, "gyrfalcon.score");
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this,
                                      &OnDone, &function_) != napi_ok) {
    return;
  }
  napi_unref_threadsafe_function(env, function_);
  open_ = napi_add_env_cleanup_hook(env, &OnCleanup, this) == napi_ok;
}

void Completions::Begin(Napi::Env env, ScoreJob* job) {
  if (referenced_++ == 0) napi_ref_threadsafe_function(env, function_);
  const std::lock_guard lock(mutex_);
  job->prev_flying_ = nullptr;
  job->next_flying_ = flying_;
  if (flying_ != nullptr) flying_->prev_flying_ = job;
  flying_ = job;
}

void Completions::Unlink(ScoreJob* job) {
  if (job->next_flying_ != nullptr) job->next_flying_->prev_flying_ = job->prev_flying_;
  (job->prev_flying_ != nullptr ? job->prev_flying_->next_flying_ : flying_) = job->next_flying_;
}

void Completions::PushDone(ScoreJob* job) {
  job->next_done_ = nullptr;
  const bool first = done_head_ == nullptr;
  (first ? done_head_ : done_tail_->next_done_) = job;
  done_tail_ = job;
  // One wake-up serves all that finish before it is delivered.
  if (first) napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
}

void Completions::Finish(ScoreJob* job) {
  // Destroyed after the lock is released: it may hold the last reference to this object.
  std::shared_ptr<ScoreJob> keep;
  std::shared_ptr<Completions> self;
  const std::lock_guard lock(mutex_);
  Unlink(job);
  if (open_) {
    PushDone(job);
    return;
  }
  self = job->completions_;
  keep = std::move(job->self_);
  job->batch_->Release();
  if (flying_ == nullptr) drained_.notify_all();
}

void Completions::Withdraw(ScoreJob* job) {
  const std::lock_guard lock(mutex_);
  Unlink(job);
  PushDone(job);
}

void Completions::OnDone(napi_env env, napi_value, void* context, void*) {
  // A null environment: it is going away and cannot run JS.
  if (env == nullptr) return;
  static_cast<Completions*>(context)->Deliver(Napi::Env(env));
}

void Completions::Deliver(Napi::Env env) {
  ScoreJob* done = nullptr;
  {
    const std::lock_guard lock(mutex_);
    done = std::exchange(done_head_, nullptr);
    done_tail_ = nullptr;
  }
  while (done != nullptr) {
    ScoreJob* job = done;
    done = done->next_done_;
    const Napi::HandleScope scope(env);
    if (--referenced_ == 0) napi_unref_threadsafe_function(env, function_);
    job->Settle(env);
  }
}

void Completions::OnCleanup(void* self) { static_cast<Completions*>(self)->Shutdown(); }

void Completions::Shutdown() {
  std::unique_lock lock(mutex_);
  open_ = false;
  ScoreJob* done = std::exchange(done_head_, nullptr);
  done_tail_ = nullptr;
  ScoreJob* dropped = nullptr;
  for (ScoreJob* job = flying_; job != nullptr;) {
    ScoreJob* next = job->next_flying_;
    if (WorkerPool::Shared().Remove(job)) {
      Unlink(job);
      job->next_done_ = std::exchange(dropped, job);
    } else {
      job->cancelled_.store(true);
      job->batch_->Cancel();
    }
    job = next;
  }
  // A worker that still ran while this environment's modules are torn down could reach freed state,
  // and at process exit ONNX Runtime's own statics; so wait, which the cancellation keeps short.
  drained_.wait(lock, [this] { return flying_ == nullptr; });
  lock.unlock();
  for (ScoreJob* list : {done, dropped}) {
    while (list != nullptr) {
      const std::shared_ptr<ScoreJob> keep = std::move(list->self_);
      list = list->next_done_;
      keep->batch_->Release();
    }
  }
}

}  // namespace gyrfalcon::napi
