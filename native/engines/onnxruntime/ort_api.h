// What gyrfalcon uses of ONNX Runtime's C API, declared here because onnxruntime-node ships no
// headers. The API is a table of function pointers that only ever grows at its end, so a slot's
// number and signature are fixed from the version that introduced it on. Numbers and signatures:
// microsoft/onnxruntime, include/onnxruntime/core/session/onnxruntime_c_api.h (struct OrtApi).
#ifndef GYRFALCON_ENGINES_ONNXRUNTIME_ORT_API_H_
#define GYRFALCON_ENGINES_ONNXRUNTIME_ORT_API_H_

#include <cstddef>
#include <cstdint>
#include <utility>

namespace gyrfalcon::ort {

// The newest version whose slots are declared below.
inline constexpr uint32_t kApiVersion = 24;

struct OrtAllocator;
struct OrtEnv;
struct OrtIoBinding;
struct OrtMemoryInfo;
struct OrtRunOptions;
struct OrtSession;
struct OrtSessionOptions;
struct OrtStatus;  // null stands for success
struct OrtTensorTypeAndShapeInfo;
struct OrtTypeInfo;
struct OrtValue;

// Enumerations of the C API; they travel as int. Element types are DtypeInfo::onnx.
inline constexpr int kLogFatal = 4;
inline constexpr int kLogError = 3;
inline constexpr int kSequential = 0;
inline constexpr int kOptimizeAll = 99;
inline constexpr int kTypeTensor = 1;
inline constexpr int kDeviceAllocator = 0;
inline constexpr int kMemTypeDefault = 0;

enum ErrorNumber : int {
  kFail = 1,
  kInvalidArgument = 2,
  kNoSuchFile = 3,
  kNoModel = 4,
  kRuntimeException = 6,
  kInvalidProtobuf = 7,
  kNotImplemented = 9,
  kInvalidGraph = 10,
};

using LogFunction = void(void* param, int severity, const char* category, const char* log_id,
                         const char* location, const char* message);

// A place in the table, with the signature of the function there.
template <typename Function>
struct Slot {
  size_t index;
};

// What libonnxruntime's only exported function returns. GetApi prints to stderr when the version
// is not supported, so the version string is compared first.
struct ApiBase {
  const void* const* (*get_api)(uint32_t version);
  const char* (*get_version_string)();
};
using GetApiBaseFunction = const ApiBase*();

// The table. Api[slot](arguments) calls; copying copies one pointer.
class Api {
 public:
  Api() = default;
  explicit Api(const void* const* table) : table_(table) {}

  template <typename Function>
  Function* operator[](Slot<Function> slot) const {
    return reinterpret_cast<Function*>(const_cast<void*>(table_[slot.index]));
  }

 private:
  const void* const* table_ = nullptr;
};

inline constexpr Slot<OrtStatus*(int code, const char* message)> kCreateStatus{0};
inline constexpr Slot<int(const OrtStatus*)> kGetErrorCode{1};
inline constexpr Slot<const char*(const OrtStatus*)> kGetErrorMessage{2};
inline constexpr Slot<OrtStatus*(LogFunction*, void* param, int severity, const char* log_id,
                                 OrtEnv** out)>
    kCreateEnvWithCustomLogger{4};
inline constexpr Slot<OrtStatus*(const OrtEnv*)> kDisableTelemetryEvents{6};
inline constexpr Slot<OrtStatus*(const OrtEnv*, const char* path, const OrtSessionOptions*,
                                 OrtSession** out)>
    kCreateSession{7};
inline constexpr Slot<OrtStatus*(const OrtEnv*, const void* data, size_t bytes,
                                 const OrtSessionOptions*, OrtSession** out)>
    kCreateSessionFromArray{8};
inline constexpr Slot<OrtStatus*(OrtSession*, const OrtRunOptions*, const char* const* input_names,
                                 const OrtValue* const* inputs, size_t input_count,
                                 const char* const* output_names, size_t output_count,
                                 OrtValue** outputs)>
    kRun{9};

inline constexpr Slot<OrtStatus*(OrtSessionOptions** out)> kCreateSessionOptions{10};
inline constexpr Slot<OrtStatus*(OrtSessionOptions*, int mode)> kSetSessionExecutionMode{13};
inline constexpr Slot<OrtStatus*(OrtSessionOptions*)> kDisableMemPattern{17};
inline constexpr Slot<OrtStatus*(OrtSessionOptions*)> kEnableCpuMemArena{18};
inline constexpr Slot<OrtStatus*(OrtSessionOptions*, int level)> kSetSessionLogSeverityLevel{22};
inline constexpr Slot<OrtStatus*(OrtSessionOptions*, int level)> kSetSessionGraphOptimizationLevel{
    23};
inline constexpr Slot<OrtStatus*(OrtSessionOptions*, int threads)> kSetIntraOpNumThreads{24};
inline constexpr Slot<OrtStatus*(OrtSessionOptions*, int threads)> kSetInterOpNumThreads{25};
inline constexpr Slot<OrtStatus*(OrtSessionOptions*, const char* key, const char* value)>
    kAddSessionConfigEntry{130};

inline constexpr Slot<OrtStatus*(const OrtSession*, size_t* out)> kSessionGetInputCount{30};
inline constexpr Slot<OrtStatus*(const OrtSession*, size_t* out)> kSessionGetOutputCount{31};
inline constexpr Slot<OrtStatus*(const OrtSession*, size_t index, OrtTypeInfo** out)>
    kSessionGetInputTypeInfo{33};
inline constexpr Slot<OrtStatus*(const OrtSession*, size_t index, OrtTypeInfo** out)>
    kSessionGetOutputTypeInfo{34};
// The name is freed with kAllocatorFree.
inline constexpr Slot<OrtStatus*(const OrtSession*, size_t index, OrtAllocator*, char** out)>
    kSessionGetInputName{36};
inline constexpr Slot<OrtStatus*(const OrtSession*, size_t index, OrtAllocator*, char** out)>
    kSessionGetOutputName{37};

inline constexpr Slot<OrtStatus*(OrtRunOptions** out)> kCreateRunOptions{39};
inline constexpr Slot<OrtStatus*(OrtRunOptions*, int level)> kRunOptionsSetRunLogSeverityLevel{41};
inline constexpr Slot<OrtStatus*(OrtRunOptions*)> kRunOptionsSetTerminate{46};
inline constexpr Slot<OrtStatus*(OrtRunOptions*)> kRunOptionsUnsetTerminate{47};

// The value refers to `data`, it neither copies nor frees it.
inline constexpr Slot<OrtStatus*(const OrtMemoryInfo*, void* data, size_t bytes,
                                 const int64_t* dims, size_t rank, int type, OrtValue** out)>
    kCreateTensorWithDataAsOrtValue{49};
inline constexpr Slot<OrtStatus*(const OrtValue*, int* out)> kIsTensor{50};
inline constexpr Slot<OrtStatus*(OrtValue*, void** out)> kGetTensorMutableData{51};

// The tensor info belongs to the type info.
inline constexpr Slot<OrtStatus*(const OrtTypeInfo*, const OrtTensorTypeAndShapeInfo** out)>
    kCastTypeInfoToTensorInfo{55};
inline constexpr Slot<OrtStatus*(const OrtTypeInfo*, int* out)> kGetOnnxTypeFromTypeInfo{56};
inline constexpr Slot<OrtStatus*(const OrtTensorTypeAndShapeInfo*, int* out)> kGetTensorElementType{
    60};
inline constexpr Slot<OrtStatus*(const OrtTensorTypeAndShapeInfo*, size_t* out)>
    kGetDimensionsCount{61};
inline constexpr Slot<OrtStatus*(const OrtTensorTypeAndShapeInfo*, int64_t* dims, size_t rank)>
    kGetDimensions{62};
// The strings belong to the info.
inline constexpr Slot<OrtStatus*(const OrtTensorTypeAndShapeInfo*, const char** names, size_t rank)>
    kGetSymbolicDimensions{63};
inline constexpr Slot<OrtStatus*(const OrtValue*, OrtTensorTypeAndShapeInfo** out)>
    kGetTensorTypeAndShape{65};
inline constexpr Slot<bool(const OrtTensorTypeAndShapeInfo*)> kTensorTypeAndShapeHasShape{390};

inline constexpr Slot<OrtStatus*(int allocator_type, int mem_type, OrtMemoryInfo** out)>
    kCreateCpuMemoryInfo{69};
inline constexpr Slot<OrtStatus*(OrtAllocator*, void* memory)> kAllocatorFree{76};
// The allocator belongs to the library.
inline constexpr Slot<OrtStatus*(OrtAllocator** out)> kGetAllocatorWithDefaultOptions{78};

inline constexpr Slot<OrtStatus*(OrtSession*, const OrtRunOptions*, const OrtIoBinding*)>
    kRunWithBinding{133};
inline constexpr Slot<OrtStatus*(OrtSession*, OrtIoBinding** out)> kCreateIoBinding{134};
// Binding a name again replaces its value; the binding shares ownership of it.
inline constexpr Slot<OrtStatus*(OrtIoBinding*, const char* name, const OrtValue*)> kBindInput{136};
inline constexpr Slot<OrtStatus*(OrtIoBinding*, const char* name, const OrtValue*)> kBindOutput{
    137};
// Values are released one by one, the array of them is freed with kAllocatorFree.
inline constexpr Slot<OrtStatus*(const OrtIoBinding*, OrtAllocator*, OrtValue*** out,
                                 size_t* count)>
    kGetBoundOutputValues{140};

template <typename T>
inline constexpr Slot<void(T*)> kRelease{};
template <>
inline constexpr Slot<void(OrtEnv*)> kRelease<OrtEnv>{92};
template <>
inline constexpr Slot<void(OrtStatus*)> kRelease<OrtStatus>{93};
template <>
inline constexpr Slot<void(OrtMemoryInfo*)> kRelease<OrtMemoryInfo>{94};
template <>
inline constexpr Slot<void(OrtSession*)> kRelease<OrtSession>{95};
template <>
inline constexpr Slot<void(OrtValue*)> kRelease<OrtValue>{96};
template <>
inline constexpr Slot<void(OrtRunOptions*)> kRelease<OrtRunOptions>{97};
template <>
inline constexpr Slot<void(OrtTypeInfo*)> kRelease<OrtTypeInfo>{98};
template <>
inline constexpr Slot<void(OrtTensorTypeAndShapeInfo*)> kRelease<OrtTensorTypeAndShapeInfo>{99};
template <>
inline constexpr Slot<void(OrtSessionOptions*)> kRelease<OrtSessionOptions>{100};
template <>
inline constexpr Slot<void(OrtIoBinding*)> kRelease<OrtIoBinding>{135};

// Owns one object of the library. Move-only.
template <typename T>
class Handle {
 public:
  Handle() = default;
  explicit Handle(Api api, T* object = nullptr) : api_(api), object_(object) {}
  Handle(Handle&& other) noexcept
      : api_(other.api_), object_(std::exchange(other.object_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(api_, other.api_);
    std::swap(object_, other.object_);
    return *this;
  }
  ~Handle() { Reset(); }

  T* get() const { return object_; }
  explicit operator bool() const { return object_ != nullptr; }
  // Where a creating function puts its object; what was held before is released.
  T** Out() {
    Reset();
    return &object_;
  }
  T* Release() { return std::exchange(object_, nullptr); }
  void Reset() {
    if (object_ != nullptr) api_[kRelease<T>](std::exchange(object_, nullptr));
  }

 private:
  Api api_;
  T* object_ = nullptr;
};

}  // namespace gyrfalcon::ort

#endif  // GYRFALCON_ENGINES_ONNXRUNTIME_ORT_API_H_
