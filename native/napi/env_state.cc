#include "napi/env_state.h"

namespace gyrfalcon::napi {

void EnvState::Install(Napi::Env env) {
  auto state = std::make_unique<EnvState>();
  state->completions_ = std::make_shared<Completions>();
  state->array_buffer_ = Napi::Persistent(env.Global().Get("ArrayBuffer").As<Napi::Function>());
  Completions* completions = state->completions_.get();
  env.SetInstanceData(state.release());
  // The function is created before the hook is added: hooks run last in, first out, so ours ends
  // all work before Node takes the function down.
  completions->Open(env);
}

}  // namespace gyrfalcon::napi
