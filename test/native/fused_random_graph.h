// Random valid graphs for the fused engine, and what one node is worth, in doubles.
#ifndef GYRFALCON_TEST_NATIVE_FUSED_RANDOM_GRAPH_H_
#define GYRFALCON_TEST_NATIVE_FUSED_RANDOM_GRAPH_H_

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "engines/fused/graph.h"

namespace gyrfalcon::fused::testing {

using Dims = std::vector<int64_t>;

int64_t ElementsOf(const Dims& dims);

// As in fused.json. Shapes: with "batch" in front, with "L" in the place of the first extent.
std::string List(const std::vector<int64_t>& numbers);
std::string ShapeText(const Dims& dims, bool batched, bool symbol);

// "key":value, the text of what is put together from such parts; braces not included.
std::string GraphText(const std::string& inputs, const std::string& constants,
                      const std::string& nodes, const std::string& outputs);

// A graph over one symbol, L. Input 0 is a batched scalar named "zero", to be bound to zeros.
class RandomGraph {
 public:
  static constexpr int64_t kL = 3;  // size of L that the graph is valid for

  RandomGraph(uint64_t seed, int nodes);

  // fused.json with up to three outputs, some of them twice or views.
  std::string Text() const;
  // The same nodes, each of them an output named "v" and the node's position. Shared values are
  // added to "zero" for that, by nodes at the end.
  std::string TextWithAllOutputs() const;

 private:
  enum class Kind : uint8_t { kInput, kConstant, kNode };
  struct Value {
    Kind kind = Kind::kNode;
    int index = 0;  // among its kind
    Dims dims;
    bool batched = false;
  };
  struct Input {
    std::string dtype;
    std::string shape;  // JSON
  };

  int Below(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  bool Chance(int percent) { return Below(100) < percent; }
  int64_t Extent();
  int Pick();  // a value, rather a new one
  int Like(const Dims& dims);
  int Constant(const Dims& dims);
  int BroadcastingWith(const Dims& dims, Dims* out);
  std::string Act(const Dims& dims, bool smooth);
  void Node(const std::string& op, const std::vector<int>& in, const std::string& rest,
            const Dims& dims, bool also_batched = false);
  void AddInput(const std::string& dtype, const Dims& dims, bool batched, bool symbol);
  void AddNode();
  bool AddProduct(int x);
  bool AddMove(int x);
  bool AddConcat(int x);
  std::string Ref(int value) const;  // resolved by Render
  std::string Render(std::string text) const;
  std::string Inputs() const;
  std::string Constants() const;

  std::mt19937_64 random_;
  std::vector<Value> values_;
  std::vector<Input> inputs_;
  std::vector<Dims> constants_;
  std::vector<std::string> nodes_;
  std::vector<int> node_values_;  // by node: its place in values_
};

// One row of a value.
struct RowValue {
  Dims dims;
  std::vector<double> data;
  std::vector<double> tolerance;  // of a result: how far f32 may be from it; negative: anything
};

// A node's result for operands as they are, in doubles.
RowValue Interpret(const Node& node, const std::vector<const RowValue*>& operands,
                   const std::map<int, const RowValue*>& others, int64_t symbol);

}  // namespace gyrfalcon::fused::testing

#endif  // GYRFALCON_TEST_NATIVE_FUSED_RANDOM_GRAPH_H_
