#include "backends/cuda/probe.h"

#include <memory>
#include <utility>

#include "backends/cuda/device.h"
#include "backends/cuda/request_port.h"

namespace gyrfalcon::cuda {
namespace {

// An empty request.
Status Try(const Driver& driver, int ordinal) {
  Result<std::shared_ptr<Device>> device = Device::OpenOf(driver, ordinal);
  if (!device.ok()) return device.status();
  Result<std::unique_ptr<RequestPort>> port = RequestPort::Make(*device);
  if (!port.ok()) return port.status();
  const CurrentDevice current(**device);
  GYR_RETURN_IF_ERROR(current.status());
  (*port)->Begin(0);
  GYR_RETURN_IF_ERROR((*port)->EnqueueFinish());
  DeviceReport report{};
  return (*port)->Wait(&report);
}

}  // namespace

Probe ProbeDevices(int ordinal) {
  Probe probe;
  const Result<const Driver*> driver = Driver::Get();
  if (!driver.ok()) {
    probe.status = driver.status();
    return probe;
  }
  probe.driver_version = driver.value()->version();
  for (const DeviceInfo& info : driver.value()->devices()) {
    if (ordinal >= 0 && info.ordinal != ordinal) continue;
    probe.devices.push_back({info, Try(*driver.value(), info.ordinal)});
  }
  return probe;
}

}  // namespace gyrfalcon::cuda
