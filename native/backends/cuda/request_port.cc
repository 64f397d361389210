#include "backends/cuda/request_port.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <utility>

namespace gyrfalcon::cuda {
namespace {

// A small request takes some ten microseconds, of which a sleeping thread would add as many again
// to be woken. Beyond this the core is given to others.
constexpr auto kSpin = std::chrono::microseconds(50);

uint32_t Read(uint32_t* word) {
  return std::atomic_ref<uint32_t>(*word).load(std::memory_order_acquire);
}

}  // namespace

Result<std::unique_ptr<RequestPort>> RequestPort::Make(const std::shared_ptr<Device>& device) {
  std::unique_ptr<RequestPort> port(new RequestPort(device));
  const CurrentDevice current(*device);
  GYR_RETURN_IF_ERROR(current.status());
  Result<PinnedMemory> pinned = PinnedMemory::Allocate(device, sizeof(RequestHeader));
  if (!pinned.ok()) return pinned.status();
  port->pinned_ = std::move(*pinned);
  Result<DeviceMemory> report = DeviceMemory::Allocate(device, sizeof(DeviceReport));
  if (!report.ok()) return report.status();
  port->report_ = std::move(*report);
  Result<Event> event = MakeEvent(device);
  if (!event.ok()) return event.status();
  port->event_ = std::move(*event);
  Result<Stream> stream = MakeStream(device);
  if (!stream.ok()) return stream.status();
  port->stream_ = std::move(*stream);
  port->header()->report = {kNoBadPosition, 0};
  GYR_RETURN_IF_ERROR(
      port->EnqueueCopy(port->report_address(), &port->header()->report, sizeof(DeviceReport)));
  GYR_RETURN_IF_ERROR(port->Drain());
  return port;
}

RequestPort::~RequestPort() {
  if (stream_.get() == nullptr) return;
  device_->Release([&](const DriverApi& api) { return api.stream_synchronize(stream_.get()); });
}

uint64_t RequestPort::rows_address() const {
  return pinned_.address() + offsetof(RequestHeader, batch_rows);
}

uint64_t RequestPort::report_address() const { return report_.address(); }

void RequestPort::Begin(int64_t rows) {
  header()->batch_rows = static_cast<uint32_t>(rows);
  header()->token = ++token_;
}

Status RequestPort::EnqueueFinish() {
  uint64_t report = report_.address();
  uint64_t header = pinned_.address();
  void* arguments[] = {&report, &header};
  return device_->Check(device_->api().launch_kernel(device_->finish(), 1, 1, 1, 32, 1, 1, 0,
                                                     stream_.get(), arguments, nullptr),
                        "launching the end of a request");
}

Status RequestPort::EnqueueCopy(uint64_t to, const void* from, size_t bytes) {
  if (bytes == 0) return Status::Ok();
  return device_->Check(device_->api().memcpy_htod_async(to, from, bytes, stream_.get()),
                        "copying to the device");
}

Status RequestPort::Wait(DeviceReport* report) {
  const auto end = std::chrono::steady_clock::now() + kSpin;
  while (Read(&header()->done) != token_) {
    if (std::chrono::steady_clock::now() < end) continue;
    GYR_RETURN_IF_ERROR(device_->Check(device_->api().event_record(event_.get(), stream_.get()),
                                       "recording an event"));
    GYR_RETURN_IF_ERROR(
        device_->Check(device_->api().event_synchronize(event_.get()), "waiting for a request"));
    if (Read(&header()->done) != token_) {
      return {ErrorCode::kDeviceFailed,
              "a request on " + device_->name() + " ended without result"};
    }
  }
  *report = header()->report;
  return Status::Ok();
}

Status RequestPort::Drain() {
  const CuResult result = device_->api().stream_synchronize(stream_.get());
  // It also returns errors of earlier work: callers free what the stream may be using.
  if (result != kCuSuccess) device_->api().stream_synchronize(stream_.get());
  return device_->Check(result, "waiting for a stream");
}

}  // namespace gyrfalcon::cuda
