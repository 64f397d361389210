#include "engines/onnxruntime/ort_library.h"

#include <dlfcn.h>

#include <charconv>
#include <memory>
#include <mutex>

#include "core/status.h"
#include "engines/onnxruntime/ort_engine.h"
#include "engines/onnxruntime/ort_status.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

namespace gyrfalcon {
namespace {

// What is allocated while one of these lives stays allocated on purpose. ONNX Runtime 1.30 loses 14
// bytes of its own while it makes its environment.
class LeaksOnPurpose {
 public:
#if defined(__SANITIZE_ADDRESS__)
  LeaksOnPurpose() { __lsan_disable(); }
  ~LeaksOnPurpose() { __lsan_enable(); }
#else
  LeaksOnPurpose() {}  // not defaulted: an unused variable otherwise
#endif
  LeaksOnPurpose(const LeaksOnPurpose&) = delete;
  LeaksOnPurpose& operator=(const LeaksOnPurpose&) = delete;
};

constexpr int kMinMajor = 1;
constexpr int kMinMinor = 30;
constexpr const char* kMinVersion = "1.30";

// The library never prints: what ONNX Runtime wants to say comes back as the error of a call.
void DiscardLog(void*, int, const char*, const char*, const char*, const char*) {}

Status Unavailable(std::string message) {
  return Status(ErrorCode::kEngineUnavailable, std::move(message));
}

Result<std::unique_ptr<OrtLibrary>> Open(const std::string& path) {
  if (path.empty() || path.front() != '/' || path.find('\0') != std::string::npos) {
    return Unavailable("expected an absolute path for the ONNX Runtime library but received \"" +
                       ort::CleanMessage(path) + "\"");
  }
  // RTLD_LOCAL: another copy in this process must not find its symbols in ours. A file that the
  // process has already opened, such as onnxruntime-node's own, is shared. Never closed: the
  // library's threads and thread-local destructors would run unmapped code.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = dlerror();
    return Unavailable("ONNX Runtime cannot be opened: " +
                       ort::CleanMessage(reason != nullptr ? reason : path));
  }
  auto* get_base = reinterpret_cast<ort::GetApiBaseFunction*>(dlsym(handle, "OrtGetApiBase"));
  if (get_base == nullptr) {
    return Unavailable(ort::CleanMessage(path) + " is not ONNX Runtime: it has no OrtGetApiBase");
  }
  const ort::ApiBase* base = get_base();
  const std::string version = base->get_version_string();
  if (!ort::IsSupportedVersion(version)) {
    return Unavailable(std::string("expected ONNX Runtime ") + kMinVersion + " or later at " +
                       ort::CleanMessage(path) + " but received " + ort::CleanMessage(version));
  }
  const void* const* table = base->get_api(ort::kApiVersion);
  if (table == nullptr) {
    return Unavailable("ONNX Runtime " + ort::CleanMessage(version) + " does not offer version " +
                       std::to_string(ort::kApiVersion) + " of its C API");
  }

  const ort::Api api(table);
  // There is one environment in a process, counted by references; whoever comes first sets its
  // logger. When that was somebody else, the severities of sessions and runs keep it silent.
  ort::Handle<ort::OrtEnv> env(api);
  {
    const LeaksOnPurpose environment;
    GYR_RETURN_IF_ERROR(
        ort::TakeStatus(api,
                        api[ort::kCreateEnvWithCustomLogger](&DiscardLog, nullptr, ort::kLogError,
                                                             "gyrfalcon", env.Out()),
                        "creating its environment"));
  }
  GYR_RETURN_IF_ERROR(ort::TakeStatus(api, api[ort::kDisableTelemetryEvents](env.get()),
                                      "switching telemetry off"));
  ort::Handle<ort::OrtMemoryInfo> cpu(api);
  GYR_RETURN_IF_ERROR(ort::TakeStatus(
      api, api[ort::kCreateCpuMemoryInfo](ort::kDeviceAllocator, ort::kMemTypeDefault, cpu.Out()),
      "describing CPU memory"));
  ort::OrtAllocator* allocator = nullptr;
  GYR_RETURN_IF_ERROR(ort::TakeStatus(api, api[ort::kGetAllocatorWithDefaultOptions](&allocator),
                                      "finding its allocator"));
  // Environment and memory description stay for the life of the process: releasing the environment
  // while static destructors run crashes in some versions.
  return std::make_unique<OrtLibrary>(api, env.Release(), cpu.Release(), allocator, version);
}

}  // namespace

namespace ort {

bool IsSupportedVersion(const std::string& version) {
  int major = 0;
  int minor = 0;
  const char* const end = version.data() + version.size();
  const auto after_major = std::from_chars(version.data(), end, major);
  if (after_major.ec != std::errc() || after_major.ptr == end || *after_major.ptr != '.') {
    return false;
  }
  const auto after_minor = std::from_chars(after_major.ptr + 1, end, minor);
  if (after_minor.ec != std::errc() || major < 0 || minor < 0) return false;
  return major > kMinMajor || (major == kMinMajor && minor >= kMinMinor);
}

}  // namespace ort

Result<std::shared_ptr<OrtLibrary>> OpenOrtLibrary(const std::string& path) {
  static constinit std::mutex mutex;
  static constinit OrtLibrary* opened = nullptr;  // never freed
  const std::lock_guard lock(mutex);
  if (opened == nullptr) {
    Result<std::unique_ptr<OrtLibrary>> library = Open(path);
    if (!library.ok()) return library.status();
    opened = library->release();
  }
  return std::shared_ptr<OrtLibrary>(std::shared_ptr<void>(), opened);
}

std::string OrtLibraryVersion(const OrtLibrary& library) { return library.version(); }

}  // namespace gyrfalcon
