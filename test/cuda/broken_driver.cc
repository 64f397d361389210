// A CUDA driver that does not work, in the way that BROKEN_DRIVER names.
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include <unistd.h>

namespace {

std::string_view Way() {
  const char* const way = std::getenv("BROKEN_DRIVER");
  return way == nullptr ? "" : way;
}

int Init(unsigned) {
  if (Way() == "crash") std::raise(SIGSEGV);
  if (Way() == "exit") _exit(7);
  if (Way() == "hang") {
    for (;;) pause();
  }
  return Way() == "no device" ? 100 : Way() == "error" ? 999 : 0;
}

int Version(int* version) {
  *version = Way() == "old" ? 11020 : 12040;
  return 0;
}

int Count(int* count) {
  *count = 0;
  return 0;
}

int Text(int, const char** text) {
  *text = "CUDA_ERROR_UNKNOWN";
  return 0;
}

int Refuse() { return 999; }

}  // namespace

extern "C" __attribute__((visibility("default"))) int cuGetProcAddress(const char* symbol,
                                                                       void** function, int,
                                                                       uint64_t) {
  const std::string_view name = symbol;
  if (Way() == "incomplete" && name == "cuGraphLaunch") return 500;
  *function = reinterpret_cast<void*>(&Refuse);
  if (name == "cuInit") *function = reinterpret_cast<void*>(&Init);
  if (name == "cuDriverGetVersion") *function = reinterpret_cast<void*>(&Version);
  if (name == "cuDeviceGetCount") *function = reinterpret_cast<void*>(&Count);
  if (name == "cuGetErrorName" || name == "cuGetErrorString") {
    *function = reinterpret_cast<void*>(&Text);
  }
  return 0;
}
