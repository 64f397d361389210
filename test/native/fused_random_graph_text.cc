// A random graph as fused.json.
#include "fused_random_graph.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

namespace gyrfalcon::fused::testing {

std::string List(const std::vector<int64_t>& numbers) {
  std::string text = "[";
  for (size_t i = 0; i < numbers.size(); ++i) {
    text += (i == 0 ? "" : ",") + std::to_string(numbers[i]);
  }
  return text + "]";
}

std::string ShapeText(const Dims& dims, bool batched, bool symbol) {
  std::string text = batched ? "[\"batch\"" : "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (text.size() > 1) text += ",";
    text += symbol && i == 0 ? "\"L\"" : std::to_string(dims[i]);
  }
  return text + "]";
}

std::string RandomGraph::Inputs() const {
  std::string text;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    text += (i == 0 ? "" : ",") + std::string(R"({"name":")") +
            (i == 0 ? "zero" : "x" + std::to_string(i)) + R"(","dtype":")" + inputs_[i].dtype +
            R"(","shape":)" + inputs_[i].shape + "}";
  }
  return text;
}

std::string RandomGraph::Constants() const {
  std::string text;
  for (size_t i = 0; i < constants_.size(); ++i) {
    text += (i == 0 ? "" : ",") + std::string(R"({"name":"c)") + std::to_string(i) +
            R"(","shape":)" + List(constants_[i]) + "}";
  }
  return text;
}

std::string RandomGraph::Text() const {
  std::string nodes;
  for (const std::string& node : nodes_) nodes += (nodes.empty() ? "" : ",") + node;
  std::string outputs;
  int count = 0;
  const auto output = [&](int value) {
    const Value& v = values_[static_cast<size_t>(value)];
    if (!v.batched) return;
    outputs += (count == 0 ? "" : ",") + std::string(R"({"name":"v)") + std::to_string(v.index) +
               "_" + std::to_string(count) + R"(","value":)" + Ref(value) + R"(,"shape":)" +
               ShapeText(v.dims, true, false) + "}";
    ++count;
  };
  const size_t last = node_values_.size() - 1;
  output(node_values_[last]);
  output(node_values_[last / 2]);
  output(node_values_[last]);
  for (size_t i = last; count == 0 && i-- > 0;) output(node_values_[i]);
  return Render(GraphText(Inputs(), Constants(), nodes, outputs));
}

std::string RandomGraph::TextWithAllOutputs() const {
  std::string nodes;
  std::string outputs;
  for (const std::string& node : nodes_) nodes += (nodes.empty() ? "" : ",") + node;
  size_t number = inputs_.size() + constants_.size() + nodes_.size();
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Value& v = values_[static_cast<size_t>(node_values_[i])];
    std::string at = Ref(node_values_[i]);
    if (!v.batched) {
      nodes += R"(,{"op":"binary","in":[0,)" + at + R"(],"fn":"add"})";
      at = std::to_string(number++);
    }
    outputs += (i == 0 ? "" : ",") + std::string(R"({"name":"v)") + std::to_string(i) +
               R"(","value":)" + at + R"(,"shape":)" + ShapeText(v.dims, true, false) + "}";
  }
  return Render(GraphText(Inputs(), Constants(), nodes, outputs));
}

}  // namespace gyrfalcon::fused::testing
