// The closed list of error codes. The strings are public API: lib/errors.ts declares the same list
// and a test compares the two through the addon.
#ifndef GYRFALCON_CORE_ERROR_CODE_H_
#define GYRFALCON_CORE_ERROR_CODE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gyrfalcon {

enum class ErrorCode : uint8_t {
  kOk = 0,
  kInvalidArgument,    // an option or argument is of the wrong kind or outside its range
  kShapeMismatch,      // a tensor has the wrong number of elements or dimensions
  kDtypeMismatch,      // a tensor has the wrong element type
  kIndexOutOfRange,    // an id is outside its table; names input, row and value
  kInvalidOffsets,     // ragged offsets do not start at 0, decrease, or pass the capacity
  kDetachedBuffer,     // an array buffer was detached, transferred or resized
  kBatchInFlight,      // the batch was submitted and has not settled
  kBatchMismatch,      // the batch belongs to another model
  kModelClosed,        // the model (table, engine) was closed
  kAborted,            // an AbortSignal fired
  kLimitExceeded,      // a number from a file or request is over a documented limit
  kOutOfMemory,        // an allocation failed
  kIoError,            // the operating system refused a file operation
  kBundleNotFound,     // there is no bundle at this path
  kBundleInvalid,      // the bundle breaks a rule of docs/bundle-format.md
  kBundleVersion,      // the bundle's format version is not supported
  kChecksumMismatch,   // a file's bytes are not what the manifest promises
  kPathEscape,         // a path in a file points outside its directory
  kOnnxInvalid,        // a file is not a well-formed ONNX model
  kOnnxUnsupported,    // well-formed ONNX that is refused (operator, feature, nesting)
  kVerifyFailed,       // bundle and original model disagree by more than the tolerance
  kEngineUnavailable,  // no engine can run this model here; says why
  kEngineFailed,       // the engine reported an error while loading or running
  kDeviceUnavailable,  // the device cannot be used here; says why
  kDeviceFailed,       // the device reported an error while loading or running
  kNativeUnavailable,  // the native addon could not be loaded (raised by lib/load.ts)
  kInternal,           // a defect in gyrfalcon
};

inline constexpr std::array<std::string_view, 28> kErrorCodeNames = {
    "OK",
    "INVALID_ARGUMENT",
    "SHAPE_MISMATCH",
    "DTYPE_MISMATCH",
    "INDEX_OUT_OF_RANGE",
    "INVALID_OFFSETS",
    "DETACHED_BUFFER",
    "BATCH_IN_FLIGHT",
    "BATCH_MISMATCH",
    "MODEL_CLOSED",
    "ABORTED",
    "LIMIT_EXCEEDED",
    "OUT_OF_MEMORY",
    "IO_ERROR",
    "BUNDLE_NOT_FOUND",
    "BUNDLE_INVALID",
    "BUNDLE_VERSION",
    "CHECKSUM_MISMATCH",
    "PATH_ESCAPE",
    "ONNX_INVALID",
    "ONNX_UNSUPPORTED",
    "VERIFY_FAILED",
    "ENGINE_UNAVAILABLE",
    "ENGINE_FAILED",
    "DEVICE_UNAVAILABLE",
    "DEVICE_FAILED",
    "NATIVE_UNAVAILABLE",
    "INTERNAL",
};

static_assert(kErrorCodeNames.size() == static_cast<size_t>(ErrorCode::kInternal) + 1);

constexpr std::string_view ErrorCodeName(ErrorCode code) {
  return kErrorCodeNames[static_cast<size_t>(code)];
}

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_ERROR_CODE_H_
