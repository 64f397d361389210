// Where values lie, over graphs by hand and random ones: against lifetimes found here anew.
#include "engines/fused/layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engines/fused/graph_reader.h"
#include "engines/fused/pair_tiles.h"
#include "engines/fused/plan.h"
#include "engines/fused/ranges.h"
#include "fused_random_graph.h"

namespace gyrfalcon::fused {
namespace {

using testing::GraphText;
using testing::RandomGraph;

constexpr const char* kX = R"({"name":"x","dtype":"f32","shape":["batch",2,6]})";

struct Laid {
  Graph graph;
  std::vector<ValueShape> shapes;
  Layout layout;
  int first_node = 0;

  const ValuePlace& place(int value) const { return layout.values[static_cast<size_t>(value)]; }
  const RootPlace& root(int value) const { return layout.roots[static_cast<size_t>(value)]; }
  int64_t elements(int value) const { return shapes[static_cast<size_t>(value)].elements; }
};

Laid Lay(const std::string& text, int64_t block_limit = kMaxBlockRows,
         const std::vector<int64_t>& symbols = {RandomGraph::kL}) {
  Laid laid;
  Result<LoadedGraph> graph = ParseGraph(text, {{"L", 0}});
  EXPECT_TRUE(graph.ok()) << graph.status().message() << text;
  if (!graph.ok()) return laid;
  laid.graph = std::move(graph->graph);
  Result<std::vector<ValueShape>> shapes = InferShapes(laid.graph, symbols);
  EXPECT_TRUE(shapes.ok()) << shapes.status().message() << text;
  if (!shapes.ok()) return laid;
  laid.shapes = std::move(shapes).value();
  laid.layout = LayOut(laid.graph, laid.shapes, block_limit);
  laid.first_node = static_cast<int>(laid.graph.inputs.size() + laid.graph.constants.size());
  return laid;
}

TEST(FusedLayout, ViewsShareTheirOperandsMemory) {
  // 0: x [2, 6]; 1: relu; 2: reshape [12]; 3: slice of 2; 4: row 1 of 1; 5: row of 1, transposed.
  const Laid laid = Lay(GraphText(
      kX, "",
      R"({"op":"unary","in":[0],"act":{"fn":"relu"}},{"op":"reshape","in":[1],"shape":[12]},)"
      R"({"op":"slice","in":[2],"axis":0,"start":-5,"step":1,"size":4},)"
      R"({"op":"gather","in":[1],"axis":0,"indices":[1]},)"
      R"({"op":"transpose","in":[4],"perm":[1,0]},{"op":"slice","in":[1],"axis":1,"start":0,)"
      R"("step":1,"size":3},{"op":"unary","in":[3],"act":{"fn":"abs"}},)"
      R"({"op":"reshape","in":[5],"shape":[6]},{"op":"reshape","in":[6],"shape":[6]},)"
      R"({"op":"binary","in":[8,9],"fn":"add"})",
      R"({"name":"y","value":10,"shape":["batch",6]},{"name":"z","value":7,"shape":["batch",4]})"));
  const std::vector<int64_t> offsets = {0, 7, 6, 6};
  for (int view = 2; view <= 5; ++view) {
    EXPECT_EQ(laid.place(view).root, 1) << view;
    EXPECT_EQ(laid.place(view).offset, offsets[static_cast<size_t>(view - 2)]) << view;
  }
  EXPECT_EQ(laid.place(6).root, 6) << "columns of a matrix are not in a row";
  EXPECT_EQ(laid.place(9).root, 6);
}

TEST(FusedLayout, OperandsOfAConcatAreWrittenIntoIt) {
  // 1 and 2 become the concatenation 3; 0 is the caller's memory, and 1 comes a second time.
  const Laid laid = Lay(GraphText(
      R"({"name":"x","dtype":"f32","shape":["batch",6]})", "",
      R"({"op":"unary","in":[0],"act":{"fn":"relu"}},{"op":"unary","in":[0],"act":{"fn":"exp"}},)"
      R"({"op":"concat","in":[1,2,0,1],"axis":0},{"op":"unary","in":[3],"act":{"fn":"abs"}},)"
      R"({"op":"reduce","in":[4],"fn":"sum","axes":[0],"keep":true})",
      R"({"name":"y","value":5,"shape":["batch",1]})"));
  EXPECT_EQ(laid.root(1).parent, 3);
  EXPECT_EQ(laid.root(2).parent, 3);
  EXPECT_EQ(laid.root(1).offset, laid.root(3).offset);
  EXPECT_EQ(laid.root(2).offset, laid.root(3).offset + 6);
  EXPECT_EQ(laid.root(1).stride, laid.root(3).stride);
  EXPECT_EQ(laid.root(0).parent, -1);
  // The result of 4 takes over the memory of 3, which nobody reads after it.
  EXPECT_EQ(laid.root(4).offset, laid.root(3).offset);
}

TEST(FusedLayout, AConcatThatIsAnOutputIsWrittenWhereItIsBound) {
  const Laid laid = Lay(GraphText(
      R"({"name":"x","dtype":"f32","shape":["batch",6]})", "",
      R"({"op":"unary","in":[0],"act":{"fn":"relu"}},{"op":"unary","in":[0],"act":{"fn":"exp"}},)"
      R"({"op":"concat","in":[1,2],"axis":0})",
      R"({"name":"y","value":3,"shape":["batch",12]},{"name":"z","value":3,"shape":["batch",12]})"));
  EXPECT_TRUE(laid.layout.output_is_direct[0]);
  EXPECT_FALSE(laid.layout.output_is_direct[1]) << "one value has one place";
  for (const int value : {1, 2, 3}) EXPECT_EQ(laid.root(value).kind, RootKind::kOutput);
  EXPECT_EQ(laid.root(2).offset, 6);
  EXPECT_EQ(laid.layout.scratch_elements, 0);
}

// Blocks of x [4000] times weights of so many columns, and a sum over the columns.
int64_t RowsOfABlockWith(int64_t columns) {
  return Lay(GraphText(R"({"name":"x","dtype":"f32","shape":["batch",4000]})",
                       R"({"name":"w","shape":[4000,)" + std::to_string(columns) + "]}",
                       R"({"op":"unary","in":[0],"act":{"fn":"relu"}},{"op":"linear","in":[2,1]},)"
                       R"({"op":"reduce","in":[3],"fn":"sum","axes":[0],"keep":true})",
                       R"({"name":"y","value":4,"shape":["batch",1]})"))
      .layout.block_rows;
}

TEST(FusedLayout, LargeWeightsMakeLargerBlocks) {
  // 96 K floats for rows of 4,000 and a few more, until a quarter of the weights is larger.
  EXPECT_EQ(RowsOfABlockWith(32), 24);
  EXPECT_GT(RowsOfABlockWith(256), 48);
  EXPECT_EQ(RowsOfABlockWith(4000), kMaxBlockRows);
}

TEST(FusedLayout, BlocksGetSmallerWithTheirRowsAndNeverEmpty) {
  for (const int64_t extent : {100, 5000, 1000000, 268435456}) {
    const Laid laid =
        Lay(GraphText(R"({"name":"x","dtype":"f32","shape":["batch"]})", "",
                      R"({"op":"expand","in":[0],"shape":[)" + std::to_string(extent) +
                          R"(]},{"op":"reduce","in":[1],"fn":"max","axes":[0],"keep":false})",
                      R"({"name":"y","value":2,"shape":["batch"]})"));
    const int64_t rows = laid.layout.block_rows;
    EXPECT_GE(rows, 1);
    EXPECT_LE(rows, kMaxBlockRows);
    EXPECT_GE(laid.layout.scratch_elements, extent * rows);
    if (rows > 1) {
      EXPECT_LE(laid.layout.scratch_elements, 2 * 96 * 1024);
    }
    if (extent <= 100) {
      EXPECT_EQ(rows, kMaxBlockRows);
    }
  }
  const Laid limited = Lay(GraphText(R"({"name":"x","dtype":"f32","shape":["batch",6]})", "",
                                     R"({"op":"unary","in":[0],"act":{"fn":"relu"}})",
                                     R"({"name":"y","value":1,"shape":["batch",6]})"),
                           3);
  EXPECT_EQ(limited.layout.block_rows, 3);
}

// The values in scratch memory, each with when it is first written and last read.
struct Life {
  int root = -1;
  int begin = 0;
  int end = 0;
};

class Lifetimes {
 public:
  explicit Lifetimes(const Laid& laid) : laid_(laid) {
    const int count = static_cast<int>(laid.shapes.size());
    for (int value = 0; value < count; ++value) {
      if (laid.root(value).kind == RootKind::kUnused) continue;
      Touch(value, value);
    }
    for (int value = laid.first_node; value < count; ++value) {
      if (laid.root(value).kind == RootKind::kUnused) continue;
      const Node& node = NodeOf(value);
      for (const int in : node.in) Touch(in, value);
      for (const int in : {node.mul, node.add}) {
        if (in >= 0) Touch(in, value);
      }
    }
    for (const GraphOutput& output : laid.graph.outputs) Touch(output.value, count);
  }

  const std::map<int, Life>& all() const { return lives_; }
  const Node& NodeOf(int value) const {
    return laid_.graph.nodes[static_cast<size_t>(value - laid_.first_node)];
  }

 private:
  // Each root by itself, parts of a concatenation too: those live as long as it does.
  void Touch(int value, int when) {
    for (int root = laid_.place(value).root; root >= 0; root = laid_.root(root).parent) {
      if (laid_.root(root).kind != RootKind::kScratch) return;
      const auto [life, fresh] = lives_.emplace(root, Life{root, when, when});
      life->second.begin = std::min(life->second.begin, when);
      life->second.end = std::max(life->second.end, when);
    }
  }

  const Laid& laid_;
  std::map<int, Life> lives_;
};

bool IsPartOf(const Laid& laid, int root, int whole) {
  for (; root >= 0; root = laid.root(root).parent) {
    if (root == whole) return true;
  }
  return false;
}

// First and last element of a block's rows, in the order of scratch memory.
std::pair<int64_t, int64_t> Span(const Laid& laid, int root) {
  const RootPlace& place = laid.root(root);
  return {place.offset,
          place.offset + (laid.layout.block_rows - 1) * place.stride + laid.elements(root) - 1};
}

// Elements of a row of one against those of the other: parts of a row lie side by side.
bool Overlap(const Laid& laid, int a, int b) {
  const auto [a_first, a_last] = Span(laid, a);
  const auto [b_first, b_last] = Span(laid, b);
  return a_first <= b_last && b_first <= a_last;
}

TEST(FusedLayout, LivingValuesOfRandomGraphsNeverOverlap) {
  int shared = 0;
  int in_place = 0;
  int parts = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    const std::string text = RandomGraph(seed, 24).Text();
    const Laid laid = Lay(text);
    ASSERT_FALSE(::testing::Test::HasFailure()) << seed;
    const Lifetimes lifetimes(laid);
    for (const auto& [a, life_a] : lifetimes.all()) {
      if (laid.root(a).parent >= 0) {
        ++parts;
        const int whole = laid.root(a).parent;
        ASSERT_GE(laid.root(a).offset, laid.root(whole).offset) << seed;
        ASSERT_LE(laid.root(a).offset + laid.elements(a),
                  laid.root(whole).offset + laid.elements(whole))
            << seed;
      }
      ASSERT_GE(laid.root(a).offset, 0);
      ASSERT_LT(Span(laid, a).second, laid.layout.scratch_elements) << "seed " << seed;
      ASSERT_GE(laid.root(a).stride, laid.elements(a));
      for (const auto& [b, life_b] : lifetimes.all()) {
        if (b <= a || IsPartOf(laid, a, b) || IsPartOf(laid, b, a)) continue;
        if (laid.root(a).parent >= 0 && laid.root(a).parent == laid.root(b).parent) {
          // Rows of both alternate: compare within a row.
          const int64_t from_a = laid.root(a).offset;
          const int64_t from_b = laid.root(b).offset;
          ASSERT_TRUE(from_a + laid.elements(a) <= from_b || from_b + laid.elements(b) <= from_a)
              << "seed " << seed;
          continue;
        }
        if (laid.root(a).parent >= 0 || laid.root(b).parent >= 0) continue;  // the whole is there
        if (!Overlap(laid, a, b)) continue;
        ++shared;
        const Life& first = life_a.begin <= life_b.begin ? life_a : life_b;
        const Life& second = life_a.begin <= life_b.begin ? life_b : life_a;
        if (first.end < second.begin) continue;
        // Only a node that reads element by element may write over what it reads.
        ASSERT_EQ(first.end, second.begin) << "seed " << seed << " " << a << " " << b << text;
        ASSERT_EQ(second.root, second.begin);
        const Node& node = lifetimes.NodeOf(second.root);
        ASSERT_TRUE(node.op == Op::kUnary || node.op == Op::kBinary || node.op == Op::kWhere ||
                    node.op == Op::kSoftmax || node.op == Op::kLayerNorm)
            << "seed " << seed;
        ASSERT_EQ(laid.root(first.root).offset, laid.root(second.root).offset);
        ASSERT_EQ(laid.root(first.root).stride, laid.root(second.root).stride);
        ASSERT_EQ(laid.elements(first.root), laid.elements(second.root));
        ++in_place;
      }
    }
  }
  EXPECT_GT(shared, 100);
  EXPECT_GT(in_place, 50);
  EXPECT_GT(parts, 50);
}

TEST(FusedLayout, RangesAreDisjointAndComeBackWhole) {
  Ranges ranges;
  std::mt19937 random(5);
  std::map<int64_t, int64_t> taken;
  for (int i = 0; i < 5000; ++i) {
    if (random() % 2 == 0 || taken.empty()) {
      const int64_t size = static_cast<int64_t>(random() % 7 + 1) * 16;
      const int64_t at = ranges.Take(size);
      ASSERT_GE(at, 0);
      ASSERT_LE(at + size, ranges.end());
      for (const auto& [other, extent] : taken)
        ASSERT_TRUE(at + size <= other || other + extent <= at);
      taken.emplace(at, size);
    } else {
      const auto it =
          std::next(taken.begin(), static_cast<std::ptrdiff_t>(random() % taken.size()));
      ranges.Give(it->first, it->second);
      taken.erase(it);
    }
  }
  for (const auto& [at, size] : taken) ranges.Give(at, size);
  const int64_t end = ranges.end();
  EXPECT_EQ(ranges.Take(end), 0) << "all ranges became one again";
  EXPECT_EQ(ranges.Take(16), end);
}

}  // namespace
}  // namespace gyrfalcon::fused
