// Brings finished asynchronous scores from workers to the JS thread of one environment.
#ifndef GYRFALCON_NAPI_COMPLETIONS_H_
#define GYRFALCON_NAPI_COMPLETIONS_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "core/batch.h"
#include "core/status.h"
#include "core/worker_pool.h"
#include "napi/addon_api.h"

namespace gyrfalcon::napi {

class Completions;

// The asynchronous score of one batch; reused from one submission to the next. While in flight it
// holds itself, so that neither a collected JS object nor a dying environment frees it under a
// worker.
class ScoreJob final : public Job {
 public:
  ScoreJob(std::shared_ptr<Batch> batch, std::shared_ptr<Completions> completions)
      : batch_(std::move(batch)), completions_(std::move(completions)) {}

  void Run() override;

  // JS thread, batch acquired. Returns the promise of the submission.
  Napi::Value Submit(Napi::Env env, int64_t rows, const std::shared_ptr<ScoreJob>& self);
  // JS thread; nothing when idle.
  void Cancel();

  int64_t queue_ns() const { return queue_ns_.load(std::memory_order_relaxed); }

 private:
  friend class Completions;
  void Settle(Napi::Env env);
  double Work() const;

  std::shared_ptr<Batch> batch_;
  std::shared_ptr<Completions> completions_;
  std::shared_ptr<ScoreJob> self_;
  napi_deferred deferred_ = nullptr;
  std::atomic<bool> cancelled_{false};
  Status status_;
  int64_t rows_ = 0;
  int64_t submitted_ns_ = 0;
  std::optional<int> cpu_;  // that it ran on
  std::atomic<int64_t> queue_ns_{0};
  ScoreJob* next_done_ = nullptr;
  ScoreJob* next_flying_ = nullptr;  // list of all in flight
  ScoreJob* prev_flying_ = nullptr;
};

class Completions {
 public:
  void Open(Napi::Env env);

  void Begin(Napi::Env env, ScoreJob* job);  // JS thread
  void Finish(ScoreJob* job);                // worker
  void Withdraw(ScoreJob* job);              // JS thread: a job that was taken out of the queue

  // JS thread. Cancels what is in flight, waits for it and takes nothing more: workers are done
  // with this environment when it returns. Called before the environment goes away, and by
  // lib/native.ts when the process exits, because process.exit does not run cleanup hooks but does
  // destroy the statics of ONNX Runtime. Its second call does nothing.
  void Shutdown();
  bool open() const { return open_; }  // JS thread, which alone writes it

 private:
  static void OnDone(napi_env env, napi_value callback, void* context, void* data);
  static void OnCleanup(void* self);
  void Deliver(Napi::Env env);
  void PushDone(ScoreJob* job);  // mutex held
  void Unlink(ScoreJob* job);    // mutex held

  napi_threadsafe_function function_ = nullptr;
  std::mutex mutex_;
  std::condition_variable drained_;
  ScoreJob* done_head_ = nullptr;
  ScoreJob* done_tail_ = nullptr;
  ScoreJob* flying_ = nullptr;
  bool open_ = false;
  int64_t referenced_ = 0;  // JS thread only: submissions that keep the event loop alive
};

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_COMPLETIONS_H_
