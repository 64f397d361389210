// Where the requests of one batch (or table) enter a device, one at a time: a stream, what host and
// device tell each other, and waiting.
#ifndef GYRFALCON_BACKENDS_CUDA_REQUEST_PORT_H_
#define GYRFALCON_BACKENDS_CUDA_REQUEST_PORT_H_

#include <cstdint>
#include <memory>

#include "backends/cuda/handles.h"
#include "backends/cuda/lookup_args.h"
#include "backends/cuda/memory.h"

namespace gyrfalcon::cuda {

class RequestPort {
 public:
  static Result<std::unique_ptr<RequestPort>> Make(const std::shared_ptr<Device>& device);
  // Waits for what is on the stream.
  ~RequestPort();
  RequestPort(const RequestPort&) = delete;
  RequestPort& operator=(const RequestPort&) = delete;

  Device& device() const { return *device_; }
  CuStream stream() const { return stream_.get(); }
  uint64_t rows_address() const;    // of the number of batch rows
  uint64_t report_address() const;  // of the DeviceReport that a lookup writes

  // Precondition of the rest: the device is current.

  // Tells the device how many rows the next request has.
  void Begin(int64_t rows);
  // Behind the lookup, into the stream (or the graph that it is being captured into).
  Status EnqueueFinish();
  // Copies into device memory, once the stream is there.
  Status EnqueueCopy(uint64_t to, const void* from, size_t bytes);
  // Until the request that Begin announced is done. Allocates nothing.
  Status Wait(DeviceReport* report);
  // Until the stream is empty: also when a request was enqueued in part.
  Status Drain();

 private:
  explicit RequestPort(std::shared_ptr<Device> device) : device_(std::move(device)) {}

  RequestHeader* header() const { return reinterpret_cast<RequestHeader*>(pinned_.data()); }

  std::shared_ptr<Device> device_;
  PinnedMemory pinned_;  // RequestHeader
  DeviceMemory report_;  // DeviceReport
  Event event_;
  Stream stream_;
  uint32_t token_ = 0;
};

}  // namespace gyrfalcon::cuda

#endif  // GYRFALCON_BACKENDS_CUDA_REQUEST_PORT_H_
