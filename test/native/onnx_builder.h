// Tiny ONNX models as bytes, for tests: a protobuf writer and the messages of onnx.proto that the
// tests use. Everything is a string of encoded fields, so that hostile ones are as easy as good.
#ifndef GYRFALCON_TEST_NATIVE_ONNX_BUILDER_H_
#define GYRFALCON_TEST_NATIVE_ONNX_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"

namespace gyrfalcon::testing::onnx {

inline std::string Varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7f));
  return out + static_cast<char>(value);
}

inline std::string Tag(uint32_t field, int wire_type) {
  return Varint(uint64_t{field} << 3 | static_cast<uint64_t>(wire_type));
}

inline std::string Int(uint32_t field, int64_t value) {
  return Tag(field, 0) + Varint(static_cast<uint64_t>(value));
}

inline std::string Bytes(uint32_t field, std::string_view bytes) {
  return Tag(field, 2) + Varint(bytes.size()) + std::string(bytes);
}

inline std::string Join(const std::vector<std::string>& parts) {
  std::string out;
  for (const std::string& part : parts) out += part;
  return out;
}

// AttributeProto
inline std::string IntAttribute(std::string_view name, int64_t value) {
  return Bytes(1, name) + Int(3, value) + Int(20, 2);
}
inline std::string GraphAttribute(std::string_view name, std::string_view graph) {
  return Bytes(1, name) + Bytes(6, graph) + Int(20, 5);
}
inline std::string TensorAttribute(std::string_view name, std::string_view tensor) {
  return Bytes(1, name) + Bytes(5, tensor) + Int(20, 4);
}
inline std::string IntsAttribute(std::string_view name, const std::vector<int64_t>& values) {
  std::string out = Bytes(1, name) + Int(20, 7);
  for (const int64_t value : values) out += Int(8, value);
  return out;
}

// NodeProto
inline std::string Node(std::string_view op, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs,
                        const std::vector<std::string>& attributes = {},
                        std::string_view domain = "") {
  std::string out;
  for (const std::string& input : inputs) out += Bytes(1, input);
  for (const std::string& output : outputs) out += Bytes(2, output);
  out += Bytes(4, op);
  for (const std::string& attribute : attributes) out += Bytes(5, attribute);
  if (!domain.empty()) out += Bytes(7, domain);
  return out;
}

// TensorProto
inline std::string TensorHead(std::string_view name, int onnx_type,
                              const std::vector<int64_t>& dims) {
  std::string out;
  for (const int64_t dim : dims) out += Int(1, dim);
  return out + Int(2, onnx_type) + Bytes(8, name);
}

template <typename T>
std::string Raw(std::span<const T> values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

template <typename T>
std::string Tensor(std::string_view name, Dtype dtype, const std::vector<int64_t>& dims,
                   const std::vector<T>& values) {
  return TensorHead(name, Info(dtype).onnx, dims) + Bytes(9, Raw(std::span<const T>(values)));
}

inline std::string FloatTensor(std::string_view name, const std::vector<int64_t>& dims,
                               const std::vector<float>& values) {
  return Tensor(name, Dtype::kF32, dims, values);
}

// A dimension: a number, or a name for a free one ("" stays anonymous).
struct Dim {
  Dim(int value) : number(value) {}          // NOLINT: implicit
  Dim(int64_t value) : number(value) {}      // NOLINT: implicit
  Dim(const char* symbol) : name(symbol) {}  // NOLINT: implicit
  int64_t number = -1;
  std::string name;
};

// TypeProto of a tensor
inline std::string TensorType(int onnx_type, const std::vector<Dim>& dims) {
  std::string shape;
  for (const Dim& dim : dims) {
    shape += Bytes(1, dim.number >= 0    ? Int(1, dim.number)
                      : dim.name.empty() ? std::string()
                                         : Bytes(2, dim.name));
  }
  return Bytes(1, Int(1, onnx_type) + Bytes(2, shape));
}

// ValueInfoProto
inline std::string Value(std::string_view name, Dtype dtype, const std::vector<Dim>& dims) {
  return Bytes(1, name) + Bytes(2, TensorType(Info(dtype).onnx, dims));
}
inline std::string ValueWithoutShape(std::string_view name, Dtype dtype) {
  return Bytes(1, name) + Bytes(2, Bytes(1, Int(1, Info(dtype).onnx)));
}

// GraphProto
struct Graph {
  std::vector<std::string> nodes;
  std::vector<std::string> initializers;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::string extra;  // encoded fields

  std::string Encode() const {
    std::string out;
    for (const std::string& node : nodes) out += Bytes(1, node);
    out += Bytes(2, "g");
    for (const std::string& initializer : initializers) out += Bytes(5, initializer);
    for (const std::string& input : inputs) out += Bytes(11, input);
    for (const std::string& output : outputs) out += Bytes(12, output);
    return out + extra;
  }
};

// ModelProto. The graph comes last, so that every truncation hurts it.
inline std::string Model(std::string_view graph, std::string_view extra = "") {
  const std::string opset = Bytes(1, "") + Int(2, 17);
  return Int(1, 8) + Bytes(8, opset) + std::string(extra) + Bytes(7, graph);
}
inline std::string Model(const Graph& graph, std::string_view extra = "") {
  return Model(graph.Encode(), extra);
}

inline std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// y = Relu(x W + b): x [rows, in], W [in, out], b [out]. W[i][j] = (i + 1) * 0.5 - j, b[j] = j - 1.
inline std::string DenseLayer(int64_t in, int64_t out, Dim rows = "batch") {
  std::vector<float> weights;
  std::vector<float> bias;
  for (int64_t i = 0; i < in; ++i) {
    for (int64_t j = 0; j < out; ++j) {
      weights.push_back(0.5f * static_cast<float>(i + 1) - static_cast<float>(j));
    }
  }
  for (int64_t j = 0; j < out; ++j) bias.push_back(static_cast<float>(j - 1));
  Graph graph;
  graph.nodes = {Node("MatMul", {"x", "w"}, {"xw"}), Node("Add", {"xw", "b"}, {"z"}),
                 Node("Relu", {"z"}, {"y"})};
  graph.initializers = {FloatTensor("w", {in, out}, weights), FloatTensor("b", {out}, bias)};
  graph.inputs = {Value("x", Dtype::kF32, {rows, in})};
  graph.outputs = {Value("y", Dtype::kF32, {rows, out})};
  return Model(graph);
}

}  // namespace gyrfalcon::testing::onnx

#endif  // GYRFALCON_TEST_NATIVE_ONNX_BUILDER_H_
