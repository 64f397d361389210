#include "simulated_backend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <regex>
#include <sstream>
#include <utility>

#include "backends/cpu/lookup_kernels.h"
#include "backends/cuda/device_rows.h"
#include "backends/cuda/lookup_request.h"
#include "backends/cuda/row_cache_policy.h"
#include "backends/row_format.h"

namespace gyrfalcon {

// This program is compiled with LookupBackends defined as this name: the CPU's tests compare the
// simulated kernel with the reference, and nothing else about them changes.
const std::vector<LookupBackend>& SimulatedLookupBackends() {
  static const std::vector<LookupBackend> backends = {testing::SimulatedBackend(),
                                                      {"reference", &RunLookupReference}};
  return backends;
}

namespace testing {
namespace {

std::string PtxText() {
  std::ifstream file(GYRFALCON_PTX);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::unique_ptr<const cusim::Module> Parse(const std::string& text) {
  auto parsed = cusim::ParsePtx(text);
  if (const auto* error = std::get_if<cusim::ParseError>(&parsed)) {
    ADD_FAILURE() << "line " << error->line << " of the PTX: " << error->message;
    return std::make_unique<cusim::Module>();
  }
  return std::unique_ptr<const cusim::Module>(std::get<cusim::Module*>(parsed));
}

std::unique_ptr<const cusim::Module> edited;

const cusim::Module& Kernels() {
  static const auto built = Parse(PtxText());
  return edited != nullptr ? *edited : *built;
}

// Device memory of one request.
class Device {
 public:
  uint64_t Copy(const void* from, size_t bytes) {
    const uint64_t address = memory_.AllocateDevice(std::max<size_t>(bytes, 1));
    Write(address, from, bytes);
    return address;
  }
  void Write(uint64_t address, const void* from, size_t bytes) {
    std::string fault;
    if (bytes == 0) return;
    std::memcpy(memory_.At(address, bytes, 1, cusim::Memory::Access::kWrite, &fault), from, bytes);
  }
  void Read(uint64_t address, void* to, size_t bytes) {
    std::string fault;
    if (bytes == 0) return;
    std::memcpy(to, memory_.At(address, bytes, 1, cusim::Memory::Access::kRead, &fault), bytes);
  }
  uint64_t CopyToHost(const std::vector<std::byte>& bytes) {
    void* const at = memory_.AllocateHost(bytes.size());
    std::memcpy(at, bytes.data(), bytes.size());
    return reinterpret_cast<uint64_t>(at);
  }
  // A cache of some slots, with some of the rows in it: an address of CacheArgs.
  uint64_t Cache(const TableView& table, const std::vector<std::byte>& rows, uint32_t stride,
                 uint64_t seed);
  // What kernels recorded in the last cache that was made.
  std::vector<uint32_t> Touches();
  cusim::Memory* memory() { return &memory_; }

 private:
  static constexpr uint32_t kRing = 4096;

  uint64_t ring_ = 0;
  cusim::Memory memory_;
};

Caching caching = Caching::kHalf;
std::vector<uint32_t> touches;  // the ring of the last request's last cache

uint64_t Device::Cache(const TableView& table, const std::vector<std::byte>& rows, uint32_t stride,
                       uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto wanted = static_cast<int64_t>(1 + random() % static_cast<uint64_t>(table.rows));
  auto geometry = cuda::CacheGeometry::Make(table.rows, wanted);
  EXPECT_TRUE(geometry.ok()) << geometry.status().message();
  cuda::RowCachePolicy policy(*geometry);
  cuda::CacheArgs args{};
  args.rows = memory_.AllocateDevice(static_cast<size_t>(geometry->slots()) * stride);
  for (int64_t i = 0; i < geometry->slots(); ++i) {
    const auto row = static_cast<uint32_t>(random() % static_cast<uint64_t>(table.rows));
    const uint32_t slot = policy.FreeSlot(row, {});
    if (policy.SlotOf(row) != cuda::RowCachePolicy::kNoSlot ||
        slot == cuda::RowCachePolicy::kNoSlot) {
      continue;
    }
    policy.Insert(slot, row);
    Write(args.rows + uint64_t{slot} * stride, rows.data() + size_t{row} * stride, stride);
  }
  args.tags = Copy(policy.tags().data(), policy.tags().size() * sizeof(uint16_t));
  args.reciprocal = geometry->reciprocal();
  ring_ = CopyToHost(std::vector<std::byte>(4 * kRing, std::byte{0xff}));
  args.ring = ring_;
  args.sets = geometry->sets;
  args.mask = geometry->mask;
  args.shift = geometry->shift;
  args.sample_mask = caching == Caching::kAlways ? 0 : 3;
  args.seed = static_cast<uint32_t>(random());
  args.ring_mask = kRing - 1;
  return Copy(&args, sizeof(args));
}

std::vector<uint32_t> Device::Touches() {
  std::vector<uint32_t> ring(ring_ == 0 ? 0 : kRing);
  if (ring_ != 0) Read(ring_, ring.data(), 4 * kRing);
  std::erase(ring, cuda::kNoTouch);
  return ring;
}

int64_t IntegerAt(const void* values, bool are_64, int64_t at) {
  return are_64 ? static_cast<const int64_t*>(values)[at] : static_cast<const int32_t*>(values)[at];
}

// How many elements of a group's arrays its rows reach.
struct Reach {
  int64_t ids = 0;
  int64_t weights = 0;
  int64_t out = 0;
};

Reach ReachOf(const BagGroup& group, int64_t rows) {
  Reach reach;
  const bool unpooled = group.pooling == Pooling::kNone;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t length = group.count;
    if (group.offsets != nullptr) {
      const int64_t end = IntegerAt(group.offsets, group.offsets_are_64, row + 1);
      length = end - IntegerAt(group.offsets, group.offsets_are_64, row);
      reach.ids = reach.weights = std::max(reach.ids, end);
    } else if (length > 0) {
      const int64_t last = length - 1;
      reach.ids = std::max(reach.ids, row * group.index_row_stride + last * group.index_step + 1);
      reach.weights =
          std::max(reach.weights, row * group.weight_row_stride + last * group.weight_step + 1);
    }
    const int64_t positions = unpooled ? length : 1;
    if (positions > 0) {
      reach.out = std::max(reach.out, row * group.out_row_stride + positions * group.table.dim);
    }
  }
  return reach;
}

SimulatedLaunch last;

// Outputs as the device has them.
std::vector<std::byte> Encode(const float* values, int64_t count, bool half) {
  std::vector<std::byte> bytes(static_cast<size_t>(count) * (half ? 2 : 4));
  EncodeRows(values, count, 1, half ? Storage::kF16 : Storage::kF32, bytes.data());
  return bytes;
}

void Simulate(const LookupRequest& request, bool half, LookupReport* report) {
  // Each test begins anew: what it sees does not depend on those before it.
  static uint64_t seed = 0;
  static const ::testing::TestInfo* seen = nullptr;
  const ::testing::TestInfo* const test = ::testing::UnitTest::GetInstance()->current_test_info();
  if (std::exchange(seen, test) != test) seed = 0;
  Device device;
  const uint64_t out_bytes = half ? 2 : 4;
  std::vector<cuda::GroupArgs> groups;
  std::vector<int64_t> floats;
  for (size_t g = 0; g < request.num_groups; ++g) {
    const BagGroup& group = request.groups[g];
    const Reach reach = ReachOf(group, request.row_end);
    const auto bytes = [](int64_t count, bool are_64) {
      return static_cast<size_t>(count) * (are_64 ? 8 : 4);
    };
    cuda::GroupAddresses at;
    const cuda::DeviceRowLayout layout = cuda::LayoutOf(group.table.storage, group.table.dim);
    std::vector<std::byte> rows(static_cast<size_t>(group.table.rows) * layout.stride);
    cuda::PackDeviceRows(group.table.data, group.table.rows, group.table.dim, group.table.storage,
                         rows.data());
    const bool cached = caching != Caching::kNever && group.table.rows > 0 &&
                        (caching == Caching::kAlways || (seed + g) % 2 == 0);
    at.table = cached ? device.CopyToHost(rows) : device.Copy(rows.data(), rows.size());
    if (cached) at.cache = device.Cache(group.table, rows, layout.stride, seed + g);
    at.indices = device.Copy(group.indices, bytes(reach.ids, group.indices_are_64));
    if (group.offsets != nullptr) {
      at.offsets = device.Copy(group.offsets, bytes(request.row_end + 1, group.offsets_are_64));
    }
    if (group.weights != nullptr) at.weights = device.Copy(group.weights, bytes(reach.weights, false));
    if (group.add != nullptr) at.add = device.Copy(group.add, bytes(group.add_count, true));
    const std::vector<std::byte> out = Encode(group.out, reach.out, half);
    at.out = device.Copy(out.data(), out.size());
    auto args = cuda::MakeGroupArgs(group, at, request.policy,
                                    half ? cuda::OutputType::kF16 : cuda::OutputType::kF32);
    ASSERT_TRUE(args.ok()) << args.status().message();
    groups.push_back(*args);
    floats.push_back(reach.out);
  }
  const int64_t rows = request.row_end - request.row_begin;
  // The kernel's row 0 is row_begin.
  for (size_t g = 0; g < groups.size(); ++g) {
    cuda::GroupArgs& group = groups[g];
    const auto begin = static_cast<uint64_t>(request.row_begin);
    const BagGroup& from = request.groups[g];
    if (group.offsets != 0) {
      group.offsets += begin * (from.offsets_are_64 ? 8 : 4);
    } else {
      group.indices += begin * static_cast<uint64_t>(from.index_row_stride) * (from.indices_are_64 ? 8 : 4);
      if (group.weights != 0) group.weights += begin * static_cast<uint64_t>(from.weight_row_stride) * 4;
    }
    group.out += begin * static_cast<uint64_t>(from.out_row_stride) * out_bytes;
    if (group.out % (4 * out_bytes) != 0) group.flags &= static_cast<uint8_t>(~cuda::kVectorOut);
  }
  auto first = cuda::DivideIntoWarps(groups, rows);
  ASSERT_TRUE(first.ok());
  cuda::InlineGroups inline_groups{};
  const bool by_value = groups.size() <= cuda::kInlineGroups && seed % 3 != 0;
  if (by_value) {
    std::copy(groups.begin(), groups.end(), inline_groups.group);
    std::copy(first->begin(), first->end(), inline_groups.first_warp);
  }
  const uint64_t more = by_value ? 0 : device.Copy(groups.data(), groups.size() * sizeof(groups[0]));
  const uint64_t more_first = by_value ? 0 : device.Copy(first->data(), first->size() * 4);
  const auto num_rows = static_cast<uint32_t>(rows);
  const uint64_t batch_rows = device.Copy(&num_rows, 4);
  cuda::DeviceReport blank{cuda::kNoBadPosition, 0};
  const uint64_t device_report = device.Copy(&blank, sizeof(blank));

  cusim::Launch launch;
  launch.kernel = &Kernels().kernels.at("gyrfalcon_lookup");
  launch.grid.x = cuda::BlocksFor(first->back());
  launch.block.x = 32 * cuda::kWarpsPerBlock;
  launch.seed = ++seed;
  launch.adversarial = edited != nullptr || seed % 4 == 0;
  launch.parameters.resize(launch.kernel->parameter_bytes);
  const auto num_groups = static_cast<uint32_t>(groups.size());
  const std::pair<const void*, size_t> arguments[] = {
      {&inline_groups, sizeof(inline_groups)}, {&more, 8}, {&more_first, 8}, {&num_groups, 4},
      {&batch_rows, 8},                        {&device_report, 8}};
  for (size_t i = 0; i < std::size(arguments); ++i) {
    const cusim::Parameter& parameter = launch.kernel->parameters[i];
    ASSERT_EQ(parameter.bytes, arguments[i].second);
    std::memcpy(launch.parameters.data() + parameter.offset, arguments[i].first, parameter.bytes);
  }
  const cusim::LaunchResult result = cusim::RunLaunch(launch, device.memory());
  touches = device.Touches();
  last = {result.fault, result.report, result.counters, static_cast<int>(groups.size()), by_value};
  if (result.fault != cusim::Fault::kNone) {
    EXPECT_NE(edited, nullptr) << result.report;
    return;
  }
  for (size_t g = 0; g < groups.size(); ++g) {
    const BagGroup& group = request.groups[g];
    const uint64_t out = groups[g].out - static_cast<uint64_t>(request.row_begin) *
                                             static_cast<uint64_t>(group.out_row_stride) *
                                             out_bytes;
    std::vector<std::byte> bytes(static_cast<size_t>(floats[g]) * out_bytes);
    device.Read(out, bytes.data(), bytes.size());
    DecodeRows(bytes.data(), floats[g], 1, half ? Storage::kF16 : Storage::kF32, group.out);
  }
  cuda::DeviceReport written{};
  device.Read(device_report, &written, sizeof(written));
  cuda::AddReport(written, request.row_begin, std::max<int64_t>(rows, 1), report);
  if (report->failed) {
    const BagGroup& group = request.groups[report->group];
    const bool ragged = group.offsets != nullptr;
    const int64_t begin = ragged ? IntegerAt(group.offsets, group.offsets_are_64, report->row)
                                 : report->row * group.index_row_stride;
    report->value = IntegerAt(group.indices, group.indices_are_64,
                              begin + report->position * (ragged ? 1 : group.index_step));
  }
}

void RunSimulated(const LookupRequest& request, LookupReport* report) {
  Simulate(request, false, report);
}

void RunSimulatedHalf(const LookupRequest& request, LookupReport* report) {
  Simulate(request, true, report);
}

}  // namespace

const SimulatedLaunch& LastLaunch() { return last; }

const std::vector<uint32_t>& LastTouches() { return touches; }

WithCaches::WithCaches(Caching which) { caching = which; }

WithCaches::~WithCaches() { caching = Caching::kHalf; }

KernelEdit::KernelEdit(const std::string& what, const std::string& by) {
  const std::string text = PtxText();
  const std::regex expression(what);
  if (!std::regex_search(text, expression)) ADD_FAILURE() << "the PTX has no " << what;
  edited = Parse(std::regex_replace(text, expression, by));
}

KernelEdit::~KernelEdit() { edited.reset(); }

const LookupBackend& SimulatedHalfBackend() {
  static const LookupBackend backend{"cuda f16", &RunSimulatedHalf};
  return backend;
}

const LookupBackend& SimulatedBackend() {
  static const LookupBackend backend{"cuda", &RunSimulated};
  return backend;
}

}  // namespace testing
}  // namespace gyrfalcon
