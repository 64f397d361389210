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

  AsyncTask(Napi::Env env, napi_deferred deferred, Work work, Finish finish)
      : Napi::AsyncWorker(env, "gyrfalcon.load"),
        work_(std::move(work)),
        finish_(std::move(finish)),
        deferred_(deferred) {}

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
      napi_reject_deferred(env, deferred_, MakeError(env, result_->status()));
      return;
    }
    const Napi::Value value = Guard(env, [&] { return finish_(env, std::move(*result_).value()); });
    if (env.IsExceptionPending()) {
      napi_reject_deferred(env, deferred_, env.GetAndClearPendingException().Value());
    } else {
      napi_resolve_deferred(env, deferred_, value);
    }
  }

 private:
  Work work_;
  Finish finish_;
  napi_deferred deferred_;
  std::optional<Result<T>> result_;
};

// `work` runs on libuv's pool, `finish` makes the value on the JS thread.
template <typename T>
Napi::Value RunTask(Napi::Env env, std::function<Result<T>()> work,
                    std::function<Napi::Value(Napi::Env, T)> finish) {
  // Not node-addon-api's Deferred: in an environment that is going away it has a promise of
  // garbage.
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return env.Undefined();
  auto task = std::make_unique<AsyncTask<T>>(env, deferred, std::move(work), std::move(finish));
  task.release()->Queue();  // destroys itself once it has settled the promise
  return Napi::Value(env, promise);
}

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_ASYNC_TASK_H_
