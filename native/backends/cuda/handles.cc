#include "backends/cuda/handles.h"

namespace gyrfalcon::cuda {

Result<Stream> MakeStream(const std::shared_ptr<Device>& device) {
  CuStream stream = nullptr;
  GYR_RETURN_IF_ERROR(
      device->Check(device->api().stream_create(&stream, kCuStreamNonBlocking), "making a stream"));
  return Stream(device, stream);
}

Result<Event> MakeEvent(const std::shared_ptr<Device>& device) {
  CuEvent event = nullptr;
  GYR_RETURN_IF_ERROR(device->Check(
      device->api().event_create(&event, kCuEventBlockingSync | kCuEventDisableTiming),
      "making an event"));
  return Event(device, event);
}

}  // namespace gyrfalcon::cuda
