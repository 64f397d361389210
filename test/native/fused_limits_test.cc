// Sizes of fused graphs: of symbols, of what is bound, and of what small files ask for.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "bundle_support.h"
#include "engines/fused/fused_engine.h"
#include "engines/fused/graph_reader.h"
#include "engines/fused/pair_tiles.h"
#include "engines/fused/shapes.h"
#include "fused_attacks.h"

namespace gyrfalcon::fused {
namespace {

using gyrfalcon::testing::Edit;
using gyrfalcon::testing::ExpectError;
using testing::ExpectRefused;
using testing::kLimit;
using testing::Load;
using testing::Symbols;

// A graph over x [batch, "K"] alone; K has no default: sizes are those of what is bound.
std::string OverK(const std::string& nodes, const std::string& output) {
  return R"({"format":"gyrfalcon-fused","version":1,"inputs":[{"name":"x","dtype":"f32",)"
         R"("shape":["batch","K"]}],"constants":[],"nodes":[)" +
         nodes + R"(],"outputs":[)" + output + "]}";
}

Status Bind(const std::string& text, int64_t size, int64_t output_size, bool once = false) {
  Result<LoadedGraph> graph = ParseGraph(text, Symbols());
  if (!graph.ok()) return graph.status();
  Result<std::shared_ptr<Engine>> engine = CreateFusedEngine(std::move(graph).value(), {});
  if (!engine.ok()) return engine.status();
  std::vector<float> memory(64);
  EngineBinding x;
  x.name = "x";
  x.dims = {EngineBinding::kRows, size};
  x.data = memory.data();
  x.bytes = memory.size() * sizeof(float);
  if (once) return (*engine)->RunOnce({x}, 0).status();
  EngineBinding y = x;
  y.name = "y";
  y.dims = {EngineBinding::kRows, output_size};
  Result<std::unique_ptr<EngineContext>> context = (*engine)->CreateContext({x}, {y});
  if (!context.ok()) return context.status();
  return (*context)->Run(0);
}

constexpr const char* kSum = R"({"op":"reduce","in":[1],"fn":"sum","axes":[0],"keep":true})";
constexpr const char* kOne = R"({"name":"y","value":2,"shape":["batch",1]})";

TEST(FusedLimits, SizesOfSymbolsAreCheckedWhenTheyAreBound) {
  const std::string text = OverK(
      R"({"op":"expand","in":[0],"shape":[4,"K"]},{"op":"reduce","in":[1],"fn":"sum","axes":[0,1],)"
      R"("keep":false})",
      R"({"name":"y","value":2,"shape":["batch",1]})");
  EXPECT_TRUE(Bind(text, 8, 1).ok());
  for (const int64_t size : {int64_t{67108865}, int64_t{1} << 40, INT64_MAX}) {
    EXPECT_EQ(Bind(text, size, 1).code(), kLimit) << size;
    EXPECT_EQ(Bind(text, size, 1, true).code(), kLimit) << size;
  }
  for (const int64_t size : {int64_t{0}, int64_t{-2}, INT64_MIN}) {
    EXPECT_EQ(Bind(text, size, 1).code(), ErrorCode::kShapeMismatch) << size;
  }
  EXPECT_EQ(Bind(text, 8, 2).code(), ErrorCode::kShapeMismatch);
}

TEST(FusedLimits, SmallFilesThatAskForTerabytesAreRefusedBeforeAnythingIsAllocated) {
  // A value of 1 GiB a row, alive together with 40 others.
  std::string nodes = R"({"op":"expand","in":[0],"shape":[268435456]})";
  std::string sums;
  for (int i = 2; i <= 40; ++i) {
    nodes += R"(,{"op":"unary","in":[1],"act":{"fn":"relu"}})";
    sums += (i == 2 ? "" : ",") + std::to_string(i);
  }
  nodes += R"(,{"op":"where","in":[2,3,4]})";
  std::string chain;
  int last = 41;
  for (int i = 5; i <= 40; ++i, ++last) {
    nodes += R"(,{"op":"binary","in":[)" + std::to_string(last) + "," + std::to_string(i) +
             R"(],"fn":"add"})";
  }
  nodes += R"(,{"op":"reduce","in":[)" + std::to_string(last) +
           R"(],"fn":"sum","axes":[0],"keep":true})";
  const Status many = Bind(OverK(nodes, R"({"name":"y","value":)" + std::to_string(last + 1) +
                                            R"(,"shape":["batch",1]})"),
                           1, 1);
  EXPECT_EQ(many.code(), kLimit) << many.message();
  EXPECT_NE(many.message().find("16 GiB"), std::string::npos) << many.message();
  // Shared values that are computed when a context is made: 2^16 · 2^28 floats.
  std::string shared = R"({"op":"iota","in":[],"size":268435456})";
  for (int i = 1; i < 20; ++i) shared += R"(,{"op":"iota","in":[],"size":268435456})";
  shared += R"(,{"op":"concat","in":[1,2],"axis":0})";
  EXPECT_EQ(Bind(OverK(shared, kOne), 1, 1).code(), kLimit);
  // Rows of a stack of matrices, each with a pointer.
  std::string stack;
  for (int i = 0; i < 60000; ++i) stack += i == 0 ? "1" : ",1";
  const Status pairs =
      Bind(OverK(R"({"op":"expand","in":[0],"shape":[67108864,"K"]},{"op":"pairwise_dot","in":[)" +
                     stack + R"(],"pairs":[0,1]})",
                 kOne),
           1, 1);
  EXPECT_EQ(pairs.code(), kLimit) << pairs.message();
}

TEST(FusedLimits, ListsAndCountsHaveLimits) {
  const auto repeated = [](const std::string& text, size_t count) {
    std::string all;
    all.reserve((text.size() + 1) * count);
    for (size_t i = 0; i < count; ++i) all += (i == 0 ? "" : ",") + text;
    return all;
  };
  const std::string relu = R"({"op":"unary","in":[0],"act":{"fn":"relu"}})";
  const std::string y = R"({"name":"y","value":65536,"shape":["batch","K"]})";
  EXPECT_TRUE(ParseGraph(OverK(repeated(relu, 65536), y), Symbols()).ok());
  ExpectError(ParseGraph(OverK(repeated(relu, 65537), y), Symbols()), kLimit, "nodes");
  const auto gather = [&](size_t count) {
    return ParseGraph(
        OverK(R"({"op":"gather","in":[0],"axis":0,"indices":[)" + repeated("0", count) + "]}",
              R"({"name":"y","value":1,"shape":["batch"]})"),
        Symbols());
  };
  EXPECT_TRUE(gather(size_t{1} << 20).ok());
  ExpectError(gather((size_t{1} << 20) + 1), kLimit, "nodes[0].indices");
  std::string constants;
  for (int i = 0; i <= 65536; ++i) {
    constants +=
        (i == 0 ? "" : ",") + std::string(R"({"name":"c)") + std::to_string(i) + R"(","shape":[]})";
  }
  ExpectError(ParseGraph(Edit(OverK(relu, R"({"name":"y","value":1,"shape":["batch","K"]})"),
                              R"("constants":[])", R"("constants":[)" + constants + "]"),
                         Symbols()),
              kLimit, "constants");
}

// Pairs and operands that come again and again cost what they are long, not its square.
TEST(FusedLimits, RepeatedPairsAndOperandsArePlannedInOrder) {
  const std::vector<int32_t> pairs(size_t{1} << 20, 0);
  const std::vector<PairTile> tiles = MakePairTiles(pairs);
  ASSERT_EQ(tiles.size(), pairs.size() / 2);
  EXPECT_EQ(tiles.front().place[0], 0);
  EXPECT_EQ(tiles.back().place[0], static_cast<int32_t>(pairs.size() / 2 - 1));
  std::string nodes;
  std::string operands;
  for (int i = 1; i <= 20000; ++i) {
    nodes += R"({"op":"unary","in":[0],"act":{"fn":"relu"}},)";
    operands += (i == 1 ? "" : ",") + std::to_string(i);
  }
  nodes += R"({"op":"concat","in":[)" + operands + "," + operands + R"(],"axis":0},)";
  nodes += R"({"op":"reduce","in":[20001],"fn":"sum","axes":[0],"keep":true})";
  const Status status =
      Bind(OverK(nodes, R"({"name":"y","value":20002,"shape":["batch",1]})"), 3, 1);
  EXPECT_TRUE(status.ok()) << status.message();
}

// What is bound to a context, wrong in every way.
TEST(FusedLimits, OnBindings) {
  Result<LoadedGraph> graph =
      ParseGraph(OverK(R"({"op":"unary","in":[0],"act":{"fn":"relu"}},)" + std::string(kSum), kOne),
                 Symbols());
  ASSERT_TRUE(graph.ok());
  Result<std::shared_ptr<Engine>> engine = CreateFusedEngine(std::move(graph).value(), {});
  ASSERT_TRUE(engine.ok());
  std::vector<float> memory(64);
  EngineBinding x;
  x.name = "x";
  x.dims = {EngineBinding::kRows, 4};
  x.data = memory.data();
  x.bytes = 32 * sizeof(float);
  EngineBinding y = x;
  y.name = "y";
  y.dims = {EngineBinding::kRows, 1};
  y.data = memory.data() + 32;
  const auto with = [&](auto change) {
    EngineBinding a = x;
    EngineBinding b = y;
    change(&a, &b);
    return (*engine)->CreateContext({a}, {b}).status().code();
  };
  using B = EngineBinding*;
  EXPECT_EQ(with([](B, B) {}), ErrorCode::kOk);
  EXPECT_EQ(with([](B a, B) { a->name = "X"; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(with([](B, B b) { b->name = "x"; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(with([](B a, B) { a->dtype = Dtype::kI32; }), ErrorCode::kDtypeMismatch);
  EXPECT_EQ(with([](B, B b) { b->dtype = Dtype::kF16; }), ErrorCode::kDtypeMismatch);
  EXPECT_EQ(with([](B a, B) { a->dims = {4}; }), ErrorCode::kShapeMismatch);
  EXPECT_EQ(with([](B a, B) {
              a->dims = {EngineBinding::kRows, 4, 1};
            }),
            ErrorCode::kShapeMismatch);
  EXPECT_EQ(with([](B a, B) { a->dims = {}; }), ErrorCode::kShapeMismatch);
  EXPECT_EQ(with([](B a, B) { a->dims = {-2, 4}; }), ErrorCode::kShapeMismatch);
  EXPECT_EQ(with([](B a, B) { a->dims = {9, 4}; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(with([](B a, B) { a->dims = {INT64_MAX, 4}; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(with([](B, B b) { b->dims = {EngineBinding::kRows, 2}; }), ErrorCode::kShapeMismatch);
  EXPECT_EQ(with([](B a, B) { a->data = nullptr; }), ErrorCode::kInvalidArgument);
  EXPECT_EQ(with([](B, B b) { b->data = static_cast<char*>(b->data) + 1; }),
            ErrorCode::kInvalidArgument);
  auto context = (*engine)->CreateContext({x}, {y});
  ASSERT_TRUE(context.ok());
  EXPECT_TRUE((*context)->Run(8).ok());
  EXPECT_EQ((*context)->Run(9).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*context)->Run(INT64_MAX).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*context)->Run(INT64_MIN).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*engine)->RunOnce({x}, int64_t{1} << 31).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*engine)->RunOnce({x}, -1).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*engine)->RunOnce({x}, 9).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*engine)->RunOnce({}, 1).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*engine)->CreateContext({x, x}, {y}).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*engine)->CreateContext({x}, {}).status().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace gyrfalcon::fused
