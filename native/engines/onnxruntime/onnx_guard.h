// Refuses ONNX files before ONNX Runtime sees their bytes.
#ifndef GYRFALCON_ENGINES_ONNXRUNTIME_ONNX_GUARD_H_
#define GYRFALCON_ENGINES_ONNXRUNTIME_ONNX_GUARD_H_

#include <cstddef>
#include <span>

#include "core/status.h"

namespace gyrfalcon {

inline constexpr int kMaxSubgraphDepth = 4;  // of a graph inside the main graph's nodes

// Walks the bytes of a ModelProto once, in constant memory, and looks at every tensor and node.
//
//   kOnnxInvalid      not well-formed protobuf; no graph; a tensor that promises more elements than
//                     it has data for
//   kOnnxUnsupported  external data of any kind; sparse tensors; operators outside the default
//                     domain; functions; training information; subgraphs deeper than
//                     kMaxSubgraphDepth
//   kLimitExceeded    more than limits::kMaxDenseGraphBytes
//
// Whether the graph makes sense is left to ONNX Runtime. Field numbers: onnx/onnx, onnx/onnx.proto.
Status CheckOnnxBytes(std::span<const std::byte> model);

}  // namespace gyrfalcon

#endif  // GYRFALCON_ENGINES_ONNXRUNTIME_ONNX_GUARD_H_
