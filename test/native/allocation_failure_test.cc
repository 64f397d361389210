// Every allocation of an operation fails once, in turn, and then for good: the operation returns
// kOutOfMemory (or an exception that the boundary turns into it), keeps nothing, and works again.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstring>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "allocation_sweep.h"
#include "bundle_support.h"
#include "core/arena.h"
#include "core/batch.h"

namespace gyrfalcon::testing {
namespace {

TEST(AllocationFailureTest, Arena) {
  Sweep([] { return StatusOf(Arena::Create(100)); });
}

TEST(AllocationFailureTest, ArenaKeepsNoMemoryOfItsOwn) {
  // Large enough that malloc maps it, which mallinfo counts to the byte.
  constexpr size_t kBytes = size_t{64} << 20;
  const auto mapped = [] { return mallinfo2().hblkhd; };
  const size_t before = mapped();
  for (size_t nth = 1; nth <= 3; ++nth) {
    const AllocationFailure failure(nth, true);
    (void)AtTheBoundary([] { return StatusOf(Arena::Create(kBytes)); });
  }
  EXPECT_EQ(mapped(), before);
}

TEST(AllocationFailureTest, Manifest) {
  const std::string text = GoodManifest();
  Sweep([&] { return StatusOf(ParseManifest(text)); });
}

// A bundle's table and the same file by itself.
class TableFailureTest : public ::testing::TestWithParam<TableResidency> {
 protected:
  static constexpr int64_t kRows = int64_t{1} << 16;  // 4 MiB: huge pages, when copied
  static constexpr int64_t kDim = 16;

  void SetUp() override {
    data_.resize(static_cast<size_t>(kRows * kDim) * sizeof(float), 'x');
    const std::string shape = "[" + std::to_string(kRows) + "," + std::to_string(kDim) + "]";
    WriteFile(dir_ / "t.safetensors",
              Safetensors(Padded(R"({"t":{"dtype":"F32","shape":)" + shape +
                                 R"(,"data_offsets":[0,)" + std::to_string(data_.size()) + "]}}"),
                          data_));
    options_.residency = GetParam();
  }

  TempDir dir_;
  std::string data_;
  LoadTableOptions options_;
};

TEST_P(TableFailureTest, OfABundle) {
  options_.verify_checksum = true;
  const TableSpec spec{"t", kRows, kDim, Storage::kF32, "t.safetensors", "t", HashOf(data_)};
  Sweep([&] { return StatusOf(LoadTable(dir_.path(), spec, options_)); });
}

TEST_P(TableFailureTest, OfAFile) {
  const std::string path = dir_ / "t.safetensors";
  Sweep([&] { return StatusOf(LoadSafetensorsTable(path, "t", Storage::kF32, 0, options_)); });
}

INSTANTIATE_TEST_SUITE_P(Residency, TableFailureTest,
                         ::testing::Values(TableResidency::kCopy, TableResidency::kMap));

TEST(AllocationFailureTest, TableOfRows) {
  for (const int64_t rows : {int64_t{4}, int64_t{1} << 19}) {
    Sweep([&] {
      return StatusOf(
          MakeTable(rows, 2, Storage::kF32, [](std::byte* memory) { memory[0] = std::byte{1}; }));
    });
  }
}

// Stands in for the dense network: hands out what it was asked for, allocating as engines do.
class NoEngine final : public Engine {
 public:
  std::string_view name() const override { return "none"; }
  std::string_view version() const override { return "0"; }
  const std::vector<EngineTensorSpec>& inputs() const override { return inputs_; }
  const std::vector<EngineTensorSpec>& outputs() const override { return outputs_; }
  Result<std::unique_ptr<EngineContext>> CreateContext(
      std::vector<EngineBinding> inputs, std::vector<EngineBinding> outputs) override {
    return std::unique_ptr<EngineContext>(
        std::make_unique<Context>(std::move(inputs), std::move(outputs)));
  }
  Result<std::vector<EngineOutput>> RunOnce(const std::vector<EngineBinding>&,
                                            int64_t rows) override {
    EngineOutput output;
    output.name = "y";
    output.dims = {rows, 1};
    return std::vector<EngineOutput>{output};
  }

 private:
  class Context final : public EngineContext {
   public:
    Context(std::vector<EngineBinding> inputs, std::vector<EngineBinding> outputs)
        : inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}
    Status Run(int64_t) override { return Status::Ok(); }
    void Cancel() override {}

   private:
    std::vector<EngineBinding> inputs_;
    std::vector<EngineBinding> outputs_;
  };

  std::vector<EngineTensorSpec> inputs_ = {
      {"slot", Dtype::kF32, {EngineBinding::kRows, 2}, {"a long name of a dimension", ""}}};
  std::vector<EngineTensorSpec> outputs_ = {
      {"y", Dtype::kF32, {EngineBinding::kRows, 1}, {"", ""}}};
};

ModelSpec Spec(Extent output) {
  const Extent rows{Extent::Kind::kBatch, 0, -1};
  const auto fixed = [](int64_t value) { return Extent{Extent::Kind::kFixed, value, -1}; };
  ModelSpec spec;
  spec.inputs.push_back(
      {"ids of a feature", InputSpec::Kind::kTensor, Dtype::kI32, {rows, fixed(2)}, false});
  spec.tables.push_back({"t", 4, 2, Storage::kF32, "t", "t", 0});
  spec.slots.push_back({"slot", {rows, fixed(2)}});
  BagSpec bag;
  bag.count = fixed(2);
  spec.bags.push_back(bag);
  spec.dense_inputs.push_back({"slot", -1, 0});
  spec.outputs.push_back({"y", Dtype::kF32, {rows, output}});
  return spec;
}

Result<std::shared_ptr<const Model>> MakeModel(Extent output) {
  Result<std::shared_ptr<const TableStorage>> table =
      MakeTable(4, 2, Storage::kF32, [](std::byte* memory) { std::memset(memory, 0, 32); });
  if (!table.ok()) return table.status();
  return Model::Create(Spec(output), {*table}, std::make_shared<NoEngine>(), ActiveLookupBackend(),
                       OutOfRange::kError);
}

TEST(AllocationFailureTest, ModelAndBatch) {
  // The second's output is known after a run only.
  for (const Extent output :
       {Extent{Extent::Kind::kFixed, 1, -1}, Extent{Extent::Kind::kUnknown, 0, -1}}) {
    Sweep([&] { return StatusOf(MakeModel(output)); });
    auto model = MakeModel(output);
    ASSERT_TRUE(model.ok()) << model.status().message();
    Sweep([&] { return StatusOf(Batch::Create(*model, {3, {}, {}})); });
  }
}

TEST(AllocationFailureTest, ScoreThatFails) {
  auto model = MakeModel({Extent::Kind::kFixed, 1, -1});
  ASSERT_TRUE(model.ok());
  auto batch = Batch::Create(*model, {2, {}, {}});
  ASSERT_TRUE(batch.ok());
  auto* ids =
      reinterpret_cast<int32_t*>((*batch)->arena()->data() + (*batch)->inputs()[0].data.offset);
  Sweep([&]() -> Status {
    ids[1] = 4;
    const Status bad = (*batch)->Score(2);
    if (bad.code() != ErrorCode::kIndexOutOfRange) return {ErrorCode::kInternal, "not refused"};
    ids[1] = 3;
    return (*batch)->Score(2);
  });
}

TEST(AllocationFailureTest, TheFailuresAreReal) {
  if (!AllocationCounter::Works()) return;
  // A negative control: what leaks on failure is seen, and so is a failure that is swallowed.
  const LiveMemory before = Live();
  std::vector<int>* leaked = nullptr;
  {
    const AllocationFailure failure(2, false);
    leaked = new std::vector<int>();
    EXPECT_THROW(leaked->resize(10), std::bad_alloc);
    EXPECT_TRUE(failure.happened());
  }
  EXPECT_EQ(Live().blocks, before.blocks + 1);
  delete leaked;
  EXPECT_EQ(Live().blocks, before.blocks);
}

}  // namespace
}  // namespace gyrfalcon::testing
