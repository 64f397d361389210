// Long work that is not scoring (loading tables, opening engines) on libuv's pool, as a promise.
#ifndef GYRFALCON_NAPI_ASYNC_TASK_H_
#define GYRFALCON_NAPI_ASYNC_TASK_H_

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "core/status.h"
#include "napi/addon_api.h"
#include "napi/errors.h"
#include "napi/guard.h"

namespace gyrfalcon::napi {

template <typename T>
class AsyncTask final : public Napi::AsyncWorker {
 public:
  using Work = std::function<Result<T>()>;
  using Finish = std::function<Napi::Value(Napi::Env, T)>;

  AsyncTask(Napi::Env env, Work work, Finish finish)
      : Napi::AsyncWorker(env, "gyrfalcon.load"),
        work_(std::move(work)),
        finish_(std::move(finish)),
        deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise Promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    try {
      result_.emplace(work_());
    } catch (...) {
      result_.emplace(CaughtStatus());
    }
    work_ = nullptr;
  }

  void OnOK() override {
    const Napi::Env env = Env();
    if (!result_->ok()) {
      deferred_.Reject(MakeError(env, result_->status()));
      return;
    }
    const Napi::Value value = Guard(env, [&] { return finish_(env, std::move(*result_).value()); });
    if (env.IsExceptionPending()) {
      deferred_.Reject(env.GetAndClearPendingException().Value());
    } else {
      deferred_.Resolve(value);
    }
  }

 private:
  Work work_;
  Finish finish_;
  Napi::Promise::Deferred deferred_;
  std::optional<Result<T>> result_;
};

// `work` runs on libuv's pool, `finish` makes the value on the JS thread.
template <typename T>
Napi::Promise RunTask(Napi::Env env, std::function<Result<T>()> work,
                      std::function<Napi::Value(Napi::Env, T)> finish) {
  auto task = std::make_unique<AsyncTask<T>>(env, std::move(work), std::move(finish));
  Napi::Promise promise = task->Promise();
  task.release()->Queue();  // destroys itself once it has settled the promise
  return promise;
}

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_ASYNC_TASK_H_
