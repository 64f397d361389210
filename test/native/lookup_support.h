// Groups and requests for lookup tests: owns every buffer, in exactly the needed size, so that
// AddressSanitizer sees each access outside.
#ifndef GYRFALCON_TEST_NATIVE_LOOKUP_SUPPORT_H_
#define GYRFALCON_TEST_NATIVE_LOOKUP_SUPPORT_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backends/lookup.h"
#include "backends/row_format.h"

namespace gyrfalcon::testing {

inline constexpr float kUntouched = 12345.5f;

struct Table {
  Table(std::vector<float> values, int64_t dim, Storage storage)
      : bytes(static_cast<size_t>(static_cast<int64_t>(values.size()) / dim) *
              RowBytes(storage, dim)) {
    view.data = bytes.data();
    view.rows = static_cast<int64_t>(values.size()) / dim;
    view.dim = dim;
    view.storage = storage;
    EncodeRows(values.data(), view.rows, dim, storage, bytes.data());
  }

  std::vector<std::byte> bytes;
  TableView view;
};

inline std::shared_ptr<Table> RandomTable(int64_t rows, int64_t dim, Storage storage,
                                          std::mt19937_64* random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(rows * dim));
  for (float& value : values) value = normal(*random);
  return std::make_shared<Table>(std::move(values), dim, storage);
}

// One group in the tests' own terms. `ids` holds every id that the strides can reach.
struct GroupCase {
  std::shared_ptr<Table> table;
  std::vector<int64_t> ids;
  std::vector<int64_t> offsets;  // ragged when not empty
  std::vector<float> weights;    // laid out like `ids`; unweighted when empty
  std::vector<int64_t> add;
  int64_t row_stride = 0;  // of ids and weights
  int64_t step = 1;
  int64_t count = 0;
  bool has_padding = false;
  int64_t padding = 0;
  bool wide_ids = false;
  bool wide_offsets = false;
  Pooling pooling = Pooling::kSum;
  int64_t slack = 0;  // floats between output rows

  int64_t Length(int64_t row) const {
    if (offsets.empty()) return count;
    return offsets[static_cast<size_t>(row + 1)] - offsets[static_cast<size_t>(row)];
  }
  int64_t At(int64_t row, int64_t i) const {
    return offsets.empty() ? row * row_stride + i * step : offsets[static_cast<size_t>(row)] + i;
  }
  int64_t OutputRow(int64_t rows) const {
    int64_t longest = 1;
    if (pooling == Pooling::kNone) {
      for (int64_t r = 0; r < rows; ++r) longest = std::max(longest, Length(r));
    }
    return longest * table->view.dim;
  }
};

struct RequestCase {
  std::vector<GroupCase> groups;
  int64_t row_begin = 0;
  int64_t row_end = 0;
  OutOfRange policy = OutOfRange::kError;
};

struct LookupOutcome {
  LookupReport report;
  std::vector<std::vector<float>> outputs;  // per group, stride OutputRow + slack
};

inline LookupOutcome RunCase(const RequestCase& request, const LookupBackend& backend) {
  struct Buffers {
    std::vector<int32_t> ids32;
    std::vector<int32_t> offsets32;
  };
  const size_t count = request.groups.size();
  std::vector<Buffers> buffers(count);
  std::vector<BagGroup> groups(count);
  LookupOutcome outcome;
  outcome.outputs.resize(count);
  for (size_t g = 0; g < count; ++g) {
    const GroupCase& from = request.groups[g];
    BagGroup& to = groups[g];
    to.table = from.table->view;
    const auto narrow = [](const std::vector<int64_t>& values) {
      std::vector<int32_t> result;
      for (int64_t value : values) result.push_back(static_cast<int32_t>(value));
      return result;
    };
    to.indices_are_64 = from.wide_ids;
    if (!from.wide_ids) buffers[g].ids32 = narrow(from.ids);
    to.indices = from.wide_ids ? static_cast<const void*>(from.ids.data())
                               : static_cast<const void*>(buffers[g].ids32.data());
    if (!from.offsets.empty()) {
      to.offsets_are_64 = from.wide_offsets;
      if (!from.wide_offsets) buffers[g].offsets32 = narrow(from.offsets);
      to.offsets = from.wide_offsets ? static_cast<const void*>(from.offsets.data())
                                     : static_cast<const void*>(buffers[g].offsets32.data());
    }
    if (!from.weights.empty()) to.weights = from.weights.data();
    if (!from.add.empty()) to.add = from.add.data();
    to.add_count = static_cast<int64_t>(from.add.size());
    to.index_row_stride = to.weight_row_stride = from.row_stride;
    to.index_step = to.weight_step = from.step;
    to.count = from.count;
    to.has_padding = from.has_padding;
    to.padding = from.padding;
    to.pooling = from.pooling;
    to.out_row_stride = from.OutputRow(request.row_end) + from.slack;
    // The last row ends with its last element: no slack behind it.
    const int64_t floats = std::max<int64_t>(request.row_end, 1) * to.out_row_stride - from.slack;
    outcome.outputs[g].assign(static_cast<size_t>(floats), kUntouched);
    to.out = outcome.outputs[g].data();
  }
  const LookupRequest lookup{groups.data(), count, request.row_begin, request.row_end,
                             request.policy};
  backend.run(lookup, &outcome.report);
  return outcome;
}

// What the terms of output element d of a bag can add up to in absolute value. Scale and bias of
// quantised rows count apart, because kernels may sum them apart.
inline double Magnitude(const GroupCase& group, int64_t row, int64_t d) {
  const TableView& table = group.table->view;
  double sum = 0.0;
  std::vector<float> decoded(static_cast<size_t>(table.dim));
  for (int64_t i = 0; i < group.Length(row); ++i) {
    const auto at = static_cast<size_t>(group.At(row, i));
    uint64_t k = static_cast<uint64_t>(group.ids[at]);
    if (!group.add.empty()) {
      k += static_cast<uint64_t>(group.add[group.add.size() == 1 ? 0 : static_cast<size_t>(i)]);
    }
    if (k >= static_cast<uint64_t>(table.rows)) continue;
    const double weight = group.weights.empty() ? 1.0 : std::fabs(double{group.weights[at]});
    const size_t bytes = RowBytes(table.storage, table.dim);
    const std::byte* const stored = table.data + k * bytes;
    if (table.storage == Storage::kInt8) {
      float params[2];
      std::memcpy(params, stored + table.dim, sizeof(params));
      sum += weight * (255.0 * std::fabs(params[0]) + std::fabs(params[1]));
    } else if (table.storage == Storage::kInt4) {
      uint16_t params[2];
      std::memcpy(params, stored + (table.dim + 1) / 2, sizeof(params));
      sum +=
          weight * (15.0 * std::fabs(HalfToFloat(params[0])) + std::fabs(HalfToFloat(params[1])));
    } else {
      const size_t element = table.storage == Storage::kF32 ? 4 : 2;
      float value = 0.0f;
      DecodeRows(stored + static_cast<size_t>(d) * element, 1, 1, table.storage, &value);
      sum += weight * std::fabs(double{value});
    }
  }
  return sum;
}

// Compares with the reference: reports equal; gathered and single-id rows equal; pooled sums within
// (n + 3) eps times the magnitude of their terms; nothing else touched.
inline ::testing::AssertionResult SameOutcome(const RequestCase& request,
                                              const LookupOutcome& expected,
                                              const LookupOutcome& actual) {
  const LookupReport& want = expected.report;
  const LookupReport& got = actual.report;
  if (want.failed != got.failed) {
    return ::testing::AssertionFailure() << "failed: " << want.failed << " but " << got.failed;
  }
  if (want.failed) {
    if (want.group != got.group || want.row != got.row || want.position != got.position ||
        want.value != got.value) {
      return ::testing::AssertionFailure()
             << "first bad position: expected group " << want.group << " row " << want.row
             << " position " << want.position << " value " << want.value << " but received "
             << got.group << ' ' << got.row << ' ' << got.position << ' ' << got.value;
    }
    return ::testing::AssertionSuccess();
  }
  if (want.zeroed != got.zeroed) {
    return ::testing::AssertionFailure() << "zeroed: " << want.zeroed << " but " << got.zeroed;
  }
  for (size_t g = 0; g < request.groups.size(); ++g) {
    const GroupCase& group = request.groups[g];
    const int64_t dim = group.table->view.dim;
    const int64_t stride = group.OutputRow(request.row_end) + group.slack;
    const std::vector<float>& reference = expected.outputs[g];
    const std::vector<float>& output = actual.outputs[g];
    for (size_t at = 0; at < reference.size(); ++at) {
      const float x = reference[at];
      const float y = output[at];
      if (x == y) continue;
      const auto place = static_cast<int64_t>(at);
      const int64_t row = place / stride;
      const int64_t column = place % stride;
      const bool inside = row >= request.row_begin && row < request.row_end && column < dim;
      const int64_t length = inside ? group.Length(row) : 0;
      double bound = 0.0;
      if (inside && group.pooling != Pooling::kNone && length > 1) {
        const auto n = static_cast<double>(length);
        bound = (n + 3) * std::numeric_limits<float>::epsilon() * Magnitude(group, row, column) +
                n * 0x1p-147;
      }
      if (std::fabs(double{x} - double{y}) <= bound) continue;  // false for NaN
      if (std::isnan(x) && std::isnan(y)) continue;
      return ::testing::AssertionFailure()
             << "group " << g << " (" << StorageName(group.table->view.storage) << ", dim " << dim
             << ", " << PoolingName(group.pooling) << ") row " << row << " column " << column
             << " length " << length << ": expected " << x << " but received " << y << ", bound "
             << bound;
    }
  }
  return ::testing::AssertionSuccess();
}

// Equal to the last bit, in reports and outputs, those outside the request included.
inline ::testing::AssertionResult SameBits(const LookupOutcome& expected,
                                           const LookupOutcome& actual) {
  const LookupReport& want = expected.report;
  const LookupReport& got = actual.report;
  if (want.failed != got.failed || want.zeroed != got.zeroed || want.group != got.group ||
      want.row != got.row || want.position != got.position || want.value != got.value) {
    return ::testing::AssertionFailure() << "reports differ";
  }
  if (want.failed) return ::testing::AssertionSuccess();
  for (size_t g = 0; g < expected.outputs.size(); ++g) {
    const std::vector<float>& x = expected.outputs[g];
    const std::vector<float>& y = actual.outputs[g];
    if (x.size() != y.size() || std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) != 0) {
      return ::testing::AssertionFailure() << "outputs of group " << g << " differ";
    }
  }
  return ::testing::AssertionSuccess();
}

inline const LookupBackend& Reference() { return LookupBackends().back(); }

// ::testing::ValuesIn(LookupBackends()) with readable names.
inline std::string BackendName(const ::testing::TestParamInfo<LookupBackend>& info) {
  return std::string(info.param.name);
}

}  // namespace gyrfalcon::testing

namespace gyrfalcon {
inline void PrintTo(const LookupBackend& backend, std::ostream* out) { *out << backend.name; }
}  // namespace gyrfalcon

#endif  // GYRFALCON_TEST_NATIVE_LOOKUP_SUPPORT_H_
