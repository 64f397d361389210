#include <gtest/gtest.h>
#include <cstring>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "ort_support.h"

namespace gyrfalcon::testing {
namespace {

using onnx::Graph;
using onnx::Node;
using onnx::Value;

TEST(OrtEngineTest, NamesItselfAndTheLibrarysVersion) {
  const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(2, 3));
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(engine->name(), "onnxruntime");
  EXPECT_EQ(std::string(engine->version()), OrtLibraryVersion(*OpenForTest()));
}

TEST(OrtEngineTest, DeclaresItsTensors) {
  Graph graph;
  graph.nodes = {Node("Add", {"a", "a"}, {"sum"}), Node("Not", {"flags"}, {"none"}),
                 Node("Flatten", {"free"}, {"flat"})};
  graph.inputs = {Value("a", Dtype::kF64, {"batch", 3}), Value("flags", Dtype::kBool, {7}),
                  Value("free", Dtype::kI64, {"batch", "", 5})};
  graph.outputs = {Value("sum", Dtype::kF64, {"batch", 3}), Value("none", Dtype::kBool, {7}),
                   Value("flat", Dtype::kI64, {"batch", ""})};
  const std::shared_ptr<Engine> engine = MustLoad(onnx::Model(graph));
  ASSERT_NE(engine, nullptr);
  ASSERT_EQ(engine->inputs().size(), 3u);
  EXPECT_EQ(engine->inputs()[0].name, "a");
  EXPECT_EQ(engine->inputs()[0].dtype, Dtype::kF64);
  EXPECT_EQ(engine->inputs()[0].dims, (std::vector<int64_t>{-1, 3}));
  EXPECT_EQ(engine->inputs()[0].names, (std::vector<std::string>{"batch", ""}));
  EXPECT_TRUE(engine->inputs()[0].has_shape);
  EXPECT_EQ(engine->inputs()[1].dtype, Dtype::kBool);
  EXPECT_EQ(engine->inputs()[1].dims, (std::vector<int64_t>{7}));
  EXPECT_EQ(engine->inputs()[2].dims, (std::vector<int64_t>{-1, -1, 5}));
  EXPECT_EQ(engine->inputs()[2].names, (std::vector<std::string>{"batch", "", ""}));
  ASSERT_EQ(engine->outputs().size(), 3u);
  EXPECT_EQ(engine->outputs()[2].name, "flat");
}

TEST(OrtEngineTest, ToldApartAreAScalarAndAnUndeclaredShape) {
  Graph graph;
  graph.nodes = {Node("Neg", {"scalar"}, {"y"}), Node("Neg", {"unknown"}, {"z"})};
  graph.inputs = {Value("scalar", Dtype::kF32, {}),
                  onnx::ValueWithoutShape("unknown", Dtype::kF32)};
  graph.outputs = {Value("y", Dtype::kF32, {}), onnx::ValueWithoutShape("z", Dtype::kF32)};
  const std::shared_ptr<Engine> engine = MustLoad(onnx::Model(graph));
  ASSERT_NE(engine, nullptr);
  EXPECT_TRUE(engine->inputs()[0].has_shape);
  EXPECT_TRUE(engine->inputs()[0].dims.empty());
  EXPECT_FALSE(engine->inputs()[1].has_shape);
  EXPECT_FALSE(engine->outputs()[1].has_shape);
}

TEST(OrtEngineTest, ComputesADenseLayer) {
  const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(4, 3));
  ASSERT_NE(engine, nullptr);
  std::vector<float> x(5 * 4);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 0.25f * static_cast<float>(i) - 2;
  std::vector<float> y(5 * 3, -1);
  auto context = engine->CreateContext({Bind("x", {kRows, 4}, &x)}, {Bind("y", {kRows, 3}, &y)});
  ASSERT_TRUE(context.ok()) << context.status().message();
  const Status status = (*context)->Run(5);
  ASSERT_TRUE(status.ok()) << status.message();
  const std::vector<float> expected = DenseLayerReference(x, 5, 4, 3);
  for (size_t i = 0; i < y.size(); ++i) EXPECT_NEAR(y[i], expected[i], 1e-5) << i;
}

// y = x + x, in every dtype that has an Add.
template <typename T>
class OrtEngineDtypeTest : public ::testing::Test {};
using AddTypes = ::testing::Types<float, double, int32_t, int64_t>;
TYPED_TEST_SUITE(OrtEngineDtypeTest, AddTypes);

TYPED_TEST(OrtEngineDtypeTest, Adds) {
  constexpr Dtype kDtype = kDtypeOf<TypeParam>;
  Graph graph;
  graph.nodes = {Node("Add", {"x", "x"}, {"y"})};
  graph.inputs = {Value("x", kDtype, {"batch", 2})};
  graph.outputs = {Value("y", kDtype, {"batch", 2})};
  const std::shared_ptr<Engine> engine = MustLoad(onnx::Model(graph));
  ASSERT_NE(engine, nullptr);
  std::vector<TypeParam> x = {1, -2, 3, 40};
  std::vector<TypeParam> y(4, 99);
  auto context = engine->CreateContext({Bind("x", {kRows, 2}, &x)}, {Bind("y", {kRows, 2}, &y)});
  ASSERT_TRUE(context.ok()) << context.status().message();
  ASSERT_TRUE((*context)->Run(2).ok());
  EXPECT_EQ(y, (std::vector<TypeParam>{2, -4, 6, 80}));
}

// Casts x [batch] to every dtype of the table and back.
TEST(OrtEngineTest, PassesEveryDtype) {
  for (const Dtype dtype :
       {Dtype::kF32, Dtype::kF64, Dtype::kF16, Dtype::kBF16, Dtype::kI8, Dtype::kU8, Dtype::kI16,
        Dtype::kU16, Dtype::kI32, Dtype::kI64, Dtype::kBool}) {
    SCOPED_TRACE(std::string(Info(dtype).name));
    Graph there;
    there.nodes = {Node("Cast", {"x"}, {"y"}, {onnx::IntAttribute("to", Info(dtype).onnx)})};
    there.inputs = {Value("x", Dtype::kF32, {"n"})};
    there.outputs = {Value("y", dtype, {"n"})};
    Graph back;
    back.nodes = {Node("Cast", {"y"}, {"z"}, {onnx::IntAttribute("to", 1)})};
    back.inputs = {Value("y", dtype, {"n"})};
    back.outputs = {Value("z", Dtype::kF32, {"n"})};
    const std::shared_ptr<Engine> first = MustLoad(onnx::Model(there));
    const std::shared_ptr<Engine> second = MustLoad(onnx::Model(back));
    ASSERT_TRUE(first != nullptr && second != nullptr);
    EXPECT_EQ(first->outputs()[0].dtype, dtype);
    std::vector<float> x = {0, 1, 1, 0};
    std::vector<double> y(4, -1);
    std::vector<float> z(4, -1);
    const EngineBinding middle{"y", dtype, {kRows}, y.data(), y.size() * sizeof(double)};
    auto to = first->CreateContext({Bind("x", {kRows}, &x)}, {middle});
    auto from = second->CreateContext({middle}, {Bind("z", {kRows}, &z)});
    ASSERT_TRUE(to.ok()) << to.status().message();
    ASSERT_TRUE(from.ok()) << from.status().message();
    ASSERT_TRUE((*to)->Run(4).ok());
    ASSERT_TRUE((*from)->Run(4).ok());
    EXPECT_EQ(z, x);
  }
}

TEST(OrtEngineTest, AContextOutlivesItsEngine) {
  std::vector<float> x = {1, 2};
  std::vector<float> y(3, -1);
  std::unique_ptr<EngineContext> context;
  {
    const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(2, 3));
    ASSERT_NE(engine, nullptr);
    auto made = engine->CreateContext({Bind("x", {kRows, 2}, &x)}, {Bind("y", {kRows, 3}, &y)});
    ASSERT_TRUE(made.ok());
    context = std::move(*made);
  }
  ASSERT_TRUE(context->Run(1).ok());
  EXPECT_EQ(y, DenseLayerReference(x, 1, 2, 3));
}

TEST(OrtEngineTest, DoesNotKeepTheModelsBytes) {
  auto model = std::make_unique<std::string>(onnx::DenseLayer(2, 3));
  const std::shared_ptr<Engine> engine = MustLoad(*model);
  ASSERT_NE(engine, nullptr);
  model->assign(model->size(), '\xee');
  model.reset();
  std::vector<float> x = {1, 2};
  std::vector<float> y(3, -1);
  auto context = engine->CreateContext({Bind("x", {kRows, 2}, &x)}, {Bind("y", {kRows, 3}, &y)});
  ASSERT_TRUE(context.ok());
  ASSERT_TRUE((*context)->Run(1).ok());
  EXPECT_EQ(y, DenseLayerReference(x, 1, 2, 3));
}

TEST(OrtEngineTest, LoadsAFileWithDataBesideIt) {
  const std::filesystem::path dir =
      std::filesystem::path(::testing::TempDir()) / "gyrfalcon-ort-external";
  std::filesystem::create_directories(dir);
  const std::vector<float> weights = {2, 3};
  const std::string external =
      onnx::TensorHead("w", 1, {2}) +
      onnx::Bytes(13, onnx::Bytes(1, "location") + onnx::Bytes(2, "w.bin")) + onnx::Int(14, 1);
  Graph graph;
  graph.nodes = {Node("Mul", {"x", "w"}, {"y"})};
  graph.initializers = {external};
  graph.inputs = {Value("x", Dtype::kF32, {"batch", 2})};
  graph.outputs = {Value("y", Dtype::kF32, {"batch", 2})};
  const std::string model = onnx::Model(graph);
  std::ofstream(dir / "m.onnx", std::ios::binary) << model;
  std::ofstream(dir / "w.bin", std::ios::binary) << onnx::Raw(std::span<const float>(weights));

  EXPECT_EQ(Load(model).status().code(), ErrorCode::kOnnxUnsupported);
  auto engine = CreateOrtEngineFromFile(OpenForTest(), dir / "m.onnx", EngineOptions{});
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  std::vector<float> x = {10, 100};
  std::vector<float> y(2, -1);
  auto context = (*engine)->CreateContext({Bind("x", {kRows, 2}, &x)}, {Bind("y", {kRows, 2}, &y)});
  ASSERT_TRUE(context.ok());
  ASSERT_TRUE((*context)->Run(1).ok());
  EXPECT_EQ(y, (std::vector<float>{20, 300}));
  std::filesystem::remove_all(dir);
}

// The library recognises its own format by these four bytes, and the guard does not know it.
TEST(OrtEngineTest, ReadsOnnxThatLooksLikeTheLibrarysOwnFormat) {
  const std::string model = onnx::Bytes(2, "??ORTM") + onnx::DenseLayer(2, 3);
  ASSERT_EQ(model.substr(4, 4), "ORTM");
  EXPECT_NE(MustLoad(model), nullptr);
}

TEST(OrtEngineTest, SaysThatAFileIsMissing) {
  auto engine = CreateOrtEngineFromFile(OpenForTest(), "/nowhere/at/all.onnx", EngineOptions{});
  ASSERT_FALSE(engine.ok());
  EXPECT_EQ(engine.status().code(), ErrorCode::kIoError);
  EXPECT_NE(engine.status().message().find("all.onnx"), std::string::npos);
}

TEST(OrtEngineTest, BoundsThreads) {
  const std::string model = onnx::DenseLayer(2, 2);
  for (const int threads : {-1, 0, 1025}) {
    EXPECT_EQ(Load(model, threads).status().code(), ErrorCode::kInvalidArgument) << threads;
  }
  EXPECT_TRUE(Load(model, 1).ok());
  EXPECT_TRUE(Load(model, 4).ok());
}

TEST(OrtEngineTest, RefusesWhatTheLibraryRefuses) {
  Graph cycle;
  cycle.nodes = {Node("Add", {"x", "b"}, {"a"}), Node("Add", {"x", "a"}, {"b"})};
  cycle.inputs = {Value("x", Dtype::kF32, {"n"})};
  cycle.outputs = {Value("b", Dtype::kF32, {"n"})};
  Graph unknown;
  unknown.nodes = {Node("NoSuchOperator", {"x"}, {"y"})};
  unknown.inputs = {Value("x", Dtype::kF32, {"n"})};
  unknown.outputs = {Value("y", Dtype::kF32, {"n"})};
  Graph dangling;
  dangling.nodes = {Node("Neg", {"nobody"}, {"y"})};
  dangling.outputs = {Value("y", Dtype::kF32, {"n"})};
  const std::vector<std::pair<Graph, ErrorCode>> cases = {
      {cycle, ErrorCode::kEngineFailed},  // the library gives these no code of their own
      {unknown, ErrorCode::kOnnxInvalid},
      {dangling, ErrorCode::kEngineFailed},
  };
  for (const auto& [graph, code] : cases) {
    const Status status = Load(onnx::Model(graph)).status();
    EXPECT_EQ(status.code(), code) << status.message();
    EXPECT_TRUE(status.message().starts_with("ONNX Runtime failed loading the graph: "))
        << status.message();
  }
}

TEST(OrtEngineTest, RefusesInputsThatAreNoTensorsOfNumbers) {
  Graph strings;
  strings.nodes = {Node("Identity", {"s"}, {"t"})};
  strings.inputs = {onnx::Bytes(1, "s") + onnx::Bytes(2, onnx::TensorType(8, {"n"}))};
  strings.outputs = {onnx::Bytes(1, "t") + onnx::Bytes(2, onnx::TensorType(8, {"n"}))};
  EXPECT_EQ(Load(onnx::Model(strings)).status().code(), ErrorCode::kOnnxUnsupported);

  Graph sequence;
  const std::string type = onnx::Bytes(4, onnx::Bytes(1, onnx::TensorType(1, {"n"})));
  sequence.nodes = {Node("SequenceLength", {"s"}, {"n"})};
  sequence.inputs = {onnx::Bytes(1, "s") + onnx::Bytes(2, type)};
  sequence.outputs = {Value("n", Dtype::kI64, {})};
  const Status status = Load(onnx::Model(sequence)).status();
  EXPECT_EQ(status.code(), ErrorCode::kOnnxUnsupported) << status.message();
  EXPECT_NE(status.message().find("\"s\""), std::string::npos);
}

TEST(OrtEngineTest, RunsOnceWithOutputsThatTheGraphDoesNotDeclare) {
  Graph graph;
  graph.nodes = {Node("NonZero", {"x"}, {"where"}), Node("Shape", {"x"}, {"shape"})};
  graph.inputs = {Value("x", Dtype::kF32, {"batch", 3})};
  graph.outputs = {Value("where", Dtype::kI64, {2, "found"}), Value("shape", Dtype::kI64, {2})};
  const std::shared_ptr<Engine> engine = MustLoad(onnx::Model(graph));
  ASSERT_NE(engine, nullptr);
  std::vector<float> x = {1, 0, 2, 0, 0, 3};
  auto outputs = engine->RunOnce({Bind("x", {kRows, 3}, &x)}, 2);
  ASSERT_TRUE(outputs.ok()) << outputs.status().message();
  EXPECT_EQ((*outputs)[0].name, "where");
  EXPECT_EQ((*outputs)[0].dims, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ((*outputs)[1].dims, (std::vector<int64_t>{2}));
  ASSERT_EQ((*outputs)[0].data.size(), 6 * sizeof(int64_t));
  std::vector<int64_t> where(6);
  std::memcpy(where.data(), (*outputs)[0].data.data(), 6 * sizeof(int64_t));
  EXPECT_EQ(where, (std::vector<int64_t>{0, 0, 1, 0, 2, 2}));
  outputs = engine->RunOnce({Bind("x", {kRows, 3}, &x)}, 1);
  ASSERT_TRUE(outputs.ok());
  EXPECT_EQ((*outputs)[0].dims, (std::vector<int64_t>{2, 2}));

  EXPECT_EQ(engine->RunOnce({Bind("x", {kRows, 3}, &x)}, 3).status().code(),
            ErrorCode::kShapeMismatch);
  EXPECT_EQ(engine->RunOnce({Bind("x", {kRows, 3}, &x)}, 0).status().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine->RunOnce({}, 1).status().code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace gyrfalcon::testing
