// Owners of what the driver hands out: given back on the device it came from, which they keep.
// Move-only; empty by default.
#ifndef GYRFALCON_BACKENDS_CUDA_HANDLES_H_
#define GYRFALCON_BACKENDS_CUDA_HANDLES_H_

#include <memory>
#include <utility>

#include "backends/cuda/device.h"

namespace gyrfalcon::cuda {

// `Traits` has a Type and a static Destroy(const DriverApi&, Type).
template <class Traits>
class Handle {
 public:
  using Type = typename Traits::Type;

  Handle() = default;
  Handle(std::shared_ptr<Device> device, Type value) : device_(std::move(device)), value_(value) {}
  Handle(Handle&& other) noexcept { Swap(other); }
  Handle& operator=(Handle&& other) noexcept {
    Swap(other);
    return *this;
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (device_ == nullptr) return;
    device_->Release([&](const DriverApi& api) { return Traits::Destroy(api, value_); });
  }

  Type get() const { return value_; }

 private:
  void Swap(Handle& other) {
    std::swap(device_, other.device_);
    std::swap(value_, other.value_);
  }

  std::shared_ptr<Device> device_;
  Type value_{};
};

struct StreamTraits {
  using Type = CuStream;
  static CuResult Destroy(const DriverApi& api, Type it) { return api.stream_destroy(it); }
};
struct EventTraits {
  using Type = CuEvent;
  static CuResult Destroy(const DriverApi& api, Type it) { return api.event_destroy(it); }
};
struct GraphTraits {
  using Type = CuGraph;
  static CuResult Destroy(const DriverApi& api, Type it) { return api.graph_destroy(it); }
};
struct GraphExecTraits {
  using Type = CuGraphExec;
  static CuResult Destroy(const DriverApi& api, Type it) { return api.graph_exec_destroy(it); }
};

using Stream = Handle<StreamTraits>;
using Event = Handle<EventTraits>;
using Graph = Handle<GraphTraits>;
using GraphExec = Handle<GraphExecTraits>;

// Precondition of all: the device is current.

// Not ordered with the default stream.
Result<Stream> MakeStream(const std::shared_ptr<Device>& device);
// Waited for asleep, not spinning.
Result<Event> MakeEvent(const std::shared_ptr<Device>& device);

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_HANDLES_H_
