// Errors of ONNX Runtime as Status.
#ifndef GYRFALCON_ENGINES_ONNXRUNTIME_ORT_STATUS_H_
#define GYRFALCON_ENGINES_ONNXRUNTIME_ORT_STATUS_H_

#include <string>
#include <string_view>

#include "core/status.h"
#include "engines/onnxruntime/ort_api.h"

namespace gyrfalcon::ort {

// The library's text on one line of at most about 500 bytes: control characters become spaces and
// addresses are taken out, so that the text neither forges a log line nor tells where memory lies.
std::string CleanMessage(std::string_view text);

// Takes `status` over and releases it. Null is OK. `doing` begins the message: "loading the graph".
// Allocation failures are kOutOfMemory, defects of a graph kOnnxInvalid or kOnnxUnsupported,
// missing files kIoError, everything else kEngineFailed.
Status TakeStatus(Api api, OrtStatus* status, std::string_view doing);

}  // namespace gyrfalcon::ort

#endif  // GYRFALCON_ENGINES_ONNXRUNTIME_ORT_STATUS_H_
