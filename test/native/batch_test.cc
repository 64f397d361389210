// Batches over a double of the engine: it stands in for the dense network only, and returns the
// sum of each row of its one slot.
#include "core/batch.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <utility>

#include "core/limits.h"

namespace gyrfalcon {
namespace {

constexpr int64_t kRows = EngineBinding::kRows;

class SumContext final : public EngineContext {
 public:
  SumContext(EngineBinding slot, EngineBinding output)
      : slot_(std::move(slot)), output_(std::move(output)) {}

  Status Run(int64_t rows) override {
    const auto* slot = static_cast<const float*>(slot_.data);
    const int64_t width = slot_.dims[1];
    for (int64_t r = 0; r < rows; ++r) {
      float sum = 0;
      for (int64_t i = 0; i < width; ++i) sum += slot[r * width + i];
      static_cast<float*>(output_.data)[r] = sum;
    }
    return Status::Ok();
  }
  void Cancel() override {}

 private:
  EngineBinding slot_;
  EngineBinding output_;
};

class SumEngine final : public Engine {
 public:
  SumEngine(std::vector<EngineTensorSpec> inputs, std::vector<EngineTensorSpec> outputs)
      : inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}
  std::string_view name() const override { return "sum double"; }
  std::string_view version() const override { return "0"; }
  const std::vector<EngineTensorSpec>& inputs() const override { return inputs_; }
  const std::vector<EngineTensorSpec>& outputs() const override { return outputs_; }
  Result<std::unique_ptr<EngineContext>> CreateContext(
      std::vector<EngineBinding> inputs, std::vector<EngineBinding> outputs) override {
    return std::unique_ptr<EngineContext>(
        std::make_unique<SumContext>(std::move(inputs[0]), std::move(outputs[0])));
  }
  Result<std::vector<EngineOutput>> RunOnce(const std::vector<EngineBinding>&,
                                            int64_t rows) override {
    ++probes;
    EngineOutput output;
    output.name = "y";
    output.dims = {rows, 1};
    return std::vector<EngineOutput>{output};
  }

  int probes = 0;

 private:
  std::vector<EngineTensorSpec> inputs_;
  std::vector<EngineTensorSpec> outputs_;
};

Extent Fixed(int64_t value) { return {Extent::Kind::kFixed, value, -1}; }
Extent Rows() { return {Extent::Kind::kBatch, 0, -1}; }
Extent Symbol() { return {Extent::Kind::kSymbol, 0, 0}; }
Extent Unknown() { return {Extent::Kind::kUnknown, 0, -1}; }

// One table of 4 rows, dim 2, whose row k is (k, 10 k); one bag with sum pooling.
struct Fixture {
  ModelSpec spec;
  std::shared_ptr<SumEngine> engine = std::make_shared<SumEngine>(
      std::vector<EngineTensorSpec>{{"slot", Dtype::kF32, {kRows, 2}, {"", ""}}},
      std::vector<EngineTensorSpec>{{"y", Dtype::kF32, {kRows, 1}, {"", ""}}});

  explicit Fixture(InputSpec input, Extent count) {
    spec.inputs.push_back(std::move(input));
    spec.tables.push_back({"t", 4, 2, Storage::kF32, "t", "t", 0});
    spec.slots.push_back({"slot", {Rows(), Fixed(2)}});
    BagSpec bag;
    bag.count = count;
    spec.bags.push_back(bag);
    spec.dense_inputs.push_back({"slot", -1, 0});
    spec.outputs.push_back({"y", Dtype::kF32, {Rows(), Fixed(1)}});
  }

  std::shared_ptr<const Model> Load(OutOfRange policy = OutOfRange::kError) {
    auto table = MakeTable(4, 2, Storage::kF32, [](std::byte* memory) {
      const float rows[] = {0, 0, 1, 10, 2, 20, 3, 30};
      std::memcpy(memory, rows, sizeof(rows));
    });
    EXPECT_TRUE(table.ok());
    auto model = Model::Create(spec, {*table}, engine, ActiveLookupBackend(), policy);
    EXPECT_TRUE(model.ok()) << model.status().message();
    return *model;
  }
};

InputSpec Tensor(Shape shape) {
  return {"ids", InputSpec::Kind::kTensor, Dtype::kI32, std::move(shape), false};
}

template <typename T>
T* At(const Batch& batch, const BatchField& field) {
  return reinterpret_cast<T*>(batch.arena()->data() + field.offset);
}

TEST(BatchTest, LooksUpPoolsAndRunsTheEngineForTheRowsAsked) {
  Fixture fixture(Tensor({Rows(), Fixed(2)}), Fixed(2));
  auto batch = Batch::Create(fixture.Load(), {3, {}, {}});
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  const int32_t ids[] = {1, 2, 3, 3, 0, 1};
  std::memcpy(At<int32_t>(**batch, (*batch)->inputs()[0].data), ids, sizeof(ids));
  float* y = At<float>(**batch, (*batch)->outputs()[0]);
  y[2] = -7;
  ASSERT_TRUE((*batch)->Score(2).ok());
  EXPECT_EQ(y[0], 33);
  EXPECT_EQ(y[1], 66);
  EXPECT_EQ(y[2], -7);  // a row that was not asked for
  ASSERT_TRUE((*batch)->Score(3).ok());
  EXPECT_EQ(y[2], 11);
  EXPECT_TRUE((*batch)->Score(0).ok());
  EXPECT_EQ((*batch)->Score(4).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*batch)->Score(-1).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(fixture.engine->probes, 0);
}

TEST(BatchTest, NamesInputRowPositionAndValueOfABadId) {
  Fixture fixture(Tensor({Rows(), Fixed(2)}), Fixed(2));
  fixture.spec.bags[0].add = {1};
  auto batch = Batch::Create(fixture.Load(), {2, {}, {}});
  ASSERT_TRUE(batch.ok());
  int32_t* ids = At<int32_t>(**batch, (*batch)->inputs()[0].data);
  ids[3] = 2;
  EXPECT_TRUE((*batch)->Score(2).ok());
  ids[3] = 3;
  const Status status = (*batch)->Score(2);
  EXPECT_EQ(status.code(), ErrorCode::kIndexOutOfRange);
  EXPECT_EQ(
      status.message(),
      "expected an id from -1 to 2 (table t) for input ids, row 1, position 1 but received 3");
  ids[3] = -1;
  EXPECT_TRUE((*batch)->Score(2).ok());
}

TEST(BatchTest, ZeroPolicyCounts) {
  Fixture fixture(Tensor({Rows()}), Fixed(1));
  const auto model = fixture.Load(OutOfRange::kZero);
  auto batch = Batch::Create(model, {1, {}, {}});
  ASSERT_TRUE(batch.ok());
  *At<int32_t>(**batch, (*batch)->inputs()[0].data) = 4;
  ASSERT_TRUE((*batch)->Score(1).ok());
  EXPECT_EQ(*At<float>(**batch, (*batch)->outputs()[0]), 0);
  EXPECT_EQ(model->stats().zeroed.load(), 1U);
}

TEST(BatchTest, RaggedOffsetsOnBothSidesOfEachRule) {
  InputSpec input{"ids", InputSpec::Kind::kRagged, Dtype::kI32, {}, false};
  Fixture fixture(std::move(input), Fixed(0));
  auto batch = Batch::Create(fixture.Load(), {2, {}, {3}});
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  int32_t* ids = At<int32_t>(**batch, (*batch)->inputs()[0].data);
  int32_t* offsets = At<int32_t>(**batch, (*batch)->inputs()[0].offsets);
  ids[0] = 1;
  ids[1] = 2;
  ids[2] = 3;
  const auto score = [&](int32_t a, int32_t b, int32_t c) {
    offsets[0] = a;
    offsets[1] = b;
    offsets[2] = c;
    return (*batch)->Score(2).code();
  };
  EXPECT_EQ(score(0, 1, 3), ErrorCode::kOk);
  const float* y = At<float>(**batch, (*batch)->outputs()[0]);
  EXPECT_EQ(y[0], 11);
  EXPECT_EQ(y[1], 55);
  EXPECT_EQ(score(0, 0, 0), ErrorCode::kOk);
  EXPECT_EQ(y[0], 0);
  EXPECT_EQ(score(1, 1, 3), ErrorCode::kInvalidOffsets);
  EXPECT_EQ(score(0, 2, 1), ErrorCode::kInvalidOffsets);
  EXPECT_EQ(score(0, 1, 4), ErrorCode::kInvalidOffsets);
  EXPECT_EQ(score(0, -1, 1), ErrorCode::kInvalidOffsets);
}

TEST(BatchTest, SymbolsAreSizedWhenABatchIsCreated) {
  Fixture fixture(Tensor({Rows(), Symbol()}), Symbol());
  fixture.spec.symbols.push_back({"length", 0});
  const auto model = fixture.Load();
  EXPECT_EQ(Batch::Create(model, {1, {}, {}}).status().code(), ErrorCode::kInvalidArgument);
  auto batch = Batch::Create(model, {1, {3}, {}});
  ASSERT_TRUE(batch.ok());
  int32_t* ids = At<int32_t>(**batch, (*batch)->inputs()[0].data);
  EXPECT_EQ((*batch)->inputs()[0].data.row_elements, 3);
  ids[0] = ids[1] = ids[2] = 1;
  ASSERT_TRUE((*batch)->Score(1).ok());
  EXPECT_EQ(*At<float>(**batch, (*batch)->outputs()[0]), 33);
}

TEST(BatchTest, IdsPastTheirRowAreRefusedOnceSizesAreKnown) {
  Fixture fixture(Tensor({Rows(), Symbol()}), Symbol());
  fixture.spec.symbols.push_back({"length", 0});
  fixture.spec.bags[0].start = 1;
  EXPECT_EQ(Batch::Create(fixture.Load(), {1, {3}, {}}).status().code(), ErrorCode::kShapeMismatch);
}

TEST(BatchTest, UndeclaredOutputsAreMeasured) {
  Fixture fixture(Tensor({Rows()}), Fixed(1));
  fixture.spec.outputs[0].shape = {Rows(), Unknown()};
  auto batch = Batch::Create(fixture.Load(), {5, {}, {}});
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  EXPECT_EQ(fixture.engine->probes, 2);
  EXPECT_EQ((*batch)->outputs()[0].dims, (std::vector<int64_t>{kRows, 1}));
  EXPECT_EQ((*batch)->outputs()[0].elements, 5U);
  EXPECT_TRUE((*batch)->Score(5).ok());
}

TEST(BatchTest, IdsAreMappedBeforeTheyAreLookedUp) {
  Fixture fixture(Tensor({Rows(), Fixed(3)}), Fixed(2));
  fixture.spec.inputs[0].dtype = Dtype::kF32;
  BagSpec& bag = fixture.spec.bags[0];
  bag.map = {{IdStep::Op::kMod, {}, 4, 0}};
  bag.has_padding = true;
  bag.padding = 5;
  bag.length_input = 0;
  bag.length_element = 2;
  auto batch = Batch::Create(fixture.Load(), {3, {}, {}});
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  // Ids, ids, length.
  const float rows[] = {7.9f, -1, 2, 5, 6, 2, 9, 3, 1};
  std::memcpy(At<float>(**batch, (*batch)->inputs()[0].data), rows, sizeof(rows));
  const float* y = At<float>(**batch, (*batch)->outputs()[0]);
  ASSERT_TRUE((*batch)->Score(3).ok());
  EXPECT_EQ(y[0], 66) << "7 and -1 are row 3";
  EXPECT_EQ(y[1], 22) << "5 is padding, 6 row 2";
  EXPECT_EQ(y[2], 11) << "9 is row 1, 3 is behind the length";
}

TEST(BatchTest, AMappedIdThatLeadsNowhereNamesTheNumberGiven) {
  Fixture fixture(Tensor({Rows(), Fixed(2)}), Fixed(2));
  fixture.spec.bags[0].map = {{IdStep::Op::kMul, {}, 3, 0}};
  const auto text = [&](OutOfRange policy) {
    auto batch = Batch::Create(fixture.Load(policy), {2, {}, {}});
    EXPECT_TRUE(batch.ok());
    const int32_t ids[] = {0, 1, 1, 2};
    std::memcpy(At<int32_t>(**batch, (*batch)->inputs()[0].data), ids, sizeof(ids));
    return (*batch)->Score(2).message();
  };
  const std::string message = text(OutOfRange::kError);
  EXPECT_NE(message.find("input ids, row 1, position 1 but received 2, which leads to 6"),
            std::string::npos)
      << message;
  EXPECT_EQ(text(OutOfRange::kZero), "");
}

TEST(BatchTest, AnIdThatIsNoIntegerIsOutOfRange) {
  Fixture fixture(Tensor({Rows()}), Fixed(1));
  fixture.spec.inputs[0].dtype = Dtype::kF32;
  auto batch = Batch::Create(fixture.Load(), {1, {}, {}});
  ASSERT_TRUE(batch.ok());
  *At<float>(**batch, (*batch)->inputs()[0].data) = std::numeric_limits<float>::quiet_NaN();
  const Status status = (*batch)->Score(1);
  EXPECT_EQ(status.code(), ErrorCode::kIndexOutOfRange);
  EXPECT_NE(status.message().find("no 64-bit integer"), std::string::npos) << status.message();
}

TEST(BatchTest, RaggedIdsAreMappedToo) {
  InputSpec input{"ids", InputSpec::Kind::kRagged, Dtype::kI64, {}, false};
  Fixture fixture(input, Fixed(1));
  fixture.spec.bags[0].map = {{IdStep::Op::kMod, {}, 4, 0}};
  // Two bags that read the same ids share what was made of them.
  fixture.spec.bags.push_back(fixture.spec.bags[0]);
  fixture.spec.bags[1].slot_offset = 2;
  fixture.spec.slots[0].shape[1] = Fixed(4);
  fixture.engine = std::make_shared<SumEngine>(
      std::vector<EngineTensorSpec>{{"slot", Dtype::kF32, {kRows, 4}, {"", ""}}},
      std::vector<EngineTensorSpec>{{"y", Dtype::kF32, {kRows, 1}, {"", ""}}});
  auto batch = Batch::Create(fixture.Load(), {2, {}, {5}});
  ASSERT_TRUE(batch.ok()) << batch.status().message();
  const int64_t ids[] = {(int64_t{1} << 40) + 1, -2, 7};
  const int32_t offsets[] = {0, 1, 3};
  std::memcpy(At<int64_t>(**batch, (*batch)->inputs()[0].data), ids, sizeof(ids));
  std::memcpy(At<int32_t>(**batch, (*batch)->inputs()[0].offsets), offsets, sizeof(offsets));
  const float* y = At<float>(**batch, (*batch)->outputs()[0]);
  ASSERT_TRUE((*batch)->Score(2).ok());
  EXPECT_EQ(y[0], 22);
  EXPECT_EQ(y[1], 110) << "rows 2 and 3, twice";
}

TEST(BatchTest, AFixedNumberOfRowsIsTheCapacity) {
  Fixture fixture(Tensor({Rows()}), Fixed(1));
  fixture.spec.fixed_batch = 4;
  const auto model = fixture.Load();
  auto batch = Batch::Create(model, {1, {}, {}});
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ((*batch)->capacity(), 4);
  EXPECT_TRUE((*batch)->Score(1).ok());
  EXPECT_EQ(Batch::Create(model, {5, {}, {}}).status().code(), ErrorCode::kInvalidArgument);
}

TEST(BatchTest, CapacityAndMemoryLimits) {
  Fixture fixture(Tensor({Rows(), Fixed(64)}), Fixed(64));
  const auto model = fixture.Load();
  EXPECT_EQ(Batch::Create(model, {0, {}, {}}).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(Batch::Create(model, {limits::kMaxBatchRows + 1, {}, {}}).status().code(),
            ErrorCode::kInvalidArgument);
  // 2^24 rows of 64 ids are 4 GiB, and the outputs go past it.
  EXPECT_EQ(Batch::Create(model, {limits::kMaxBatchRows, {}, {}}).status().code(),
            ErrorCode::kLimitExceeded);
}

TEST(BatchTest, AClosedBatchKeepsItsMemoryAndRefusesToScore) {
  Fixture fixture(Tensor({Rows()}), Fixed(1));
  auto batch = Batch::Create(fixture.Load(), {1, {}, {}});
  ASSERT_TRUE(batch.ok());
  EXPECT_TRUE((*batch)->TryAcquire());
  EXPECT_FALSE((*batch)->TryAcquire());
  (*batch)->Close();
  (*batch)->Release();
  EXPECT_EQ((*batch)->Score(1).code(), ErrorCode::kModelClosed);
  *At<int32_t>(**batch, (*batch)->inputs()[0].data) = 3;
  (*batch)->Cancel();
}

TEST(ModelTest, AGraphThatDisagreesWithTheManifestIsRefused) {
  const auto create = [](const auto& change) {
    Fixture fixture(Tensor({Rows()}), Fixed(1));
    change(&fixture);
    return Model::Create(fixture.spec, {}, fixture.engine, ActiveLookupBackend(),
                         OutOfRange::kError)
        .status()
        .code();
  };
  EXPECT_EQ(create([](Fixture*) {}), ErrorCode::kOk);
  EXPECT_EQ(create([](Fixture* f) { f->spec.outputs[0].name = "z"; }), ErrorCode::kBundleInvalid);
  EXPECT_EQ(create([](Fixture* f) { f->spec.outputs[0].dtype = Dtype::kF64; }),
            ErrorCode::kBundleInvalid);
  EXPECT_EQ(create([](Fixture* f) { f->spec.slots[0].shape[1] = Fixed(3); }),
            ErrorCode::kBundleInvalid);
  EXPECT_EQ(create([](Fixture* f) { f->spec.slots[0].shape.pop_back(); }),
            ErrorCode::kBundleInvalid);
  EXPECT_EQ(create([](Fixture* f) { f->spec.dense_inputs.clear(); }), ErrorCode::kBundleInvalid);
}

}  // namespace
}  // namespace gyrfalcon
