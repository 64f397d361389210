#include "engines/fused/plan_loops.h"

#include <array>
#include <cstddef>

namespace gyrfalcon::fused {
namespace {

using Dims = std::vector<int64_t>;

struct Axis {
  int64_t extent;
  std::array<int64_t, 3> strides;
};

// Axes with extents above 1, neighbours merged where every operand allows it.
std::vector<Axis> MergeAxes(const Dims& dims, const std::array<Dims, 3>& strides) {
  std::vector<Axis> axes;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 1) continue;
    Axis axis{dims[i], {}};
    for (size_t o = 0; o < 3; ++o) axis.strides[o] = strides[o].empty() ? 0 : strides[o][i];
    bool merges = !axes.empty();
    for (size_t o = 0; merges && o < 3; ++o) {
      merges = axes.back().strides[o] == axis.strides[o] * axis.extent;
    }
    if (merges) {
      axes.back().extent *= axis.extent;
      axes.back().strides = axis.strides;
    } else {
      axes.push_back(axis);
    }
  }
  return axes;
}

// The last `inner` of the axes becomes the vector.
Loops FromAxes(std::vector<Axis> axes, bool inner) {
  Loops loops;
  if (inner && !axes.empty()) {
    loops.n = axes.back().extent;
    for (size_t o = 0; o < 3; ++o) loops.step[o] = axes.back().strides[o];
    axes.pop_back();
  } else if (inner) {
    // One element a row: rows of operands that have rows follow one another.
    for (size_t o = 0; o < 3; ++o) loops.step[o] = 1;
  }
  loops.rank = static_cast<int>(axes.size());
  for (size_t i = 0; i < axes.size(); ++i) {
    loops.extent[i] = axes[i].extent;
    for (size_t o = 0; o < 3; ++o) loops.stride[o][i] = axes[i].strides[o];
  }
  return loops;
}

}  // namespace

std::vector<int64_t> ContiguousStrides(const std::vector<int64_t>& dims) {
  Dims strides(dims.size());
  int64_t next = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    strides[i] = next;
    next *= dims[i];
  }
  return strides;
}

std::vector<int64_t> BroadcastStrides(const std::vector<int64_t>& to,
                                      const std::vector<int64_t>& from) {
  const Dims own = ContiguousStrides(from);
  Dims strides(to.size(), 0);
  const size_t shift = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] != 1) strides[i + shift] = own[i];
  }
  return strides;
}

Loops FlatLoops(int64_t n) {
  Loops loops;
  loops.n = n;
  loops.step[0] = 1;
  return loops;
}

Loops RowLoops(const std::vector<int64_t>& dims) {
  Loops loops = FlatLoops(dims.empty() ? 1 : dims.back());
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < dims.size(); ++i) rows *= dims[i];
  loops.rank = 1;  // never flat: constants belong to one run
  loops.extent[0] = rows;
  loops.stride[0][0] = loops.n;
  return loops;
}

Loops BroadcastLoops(const std::vector<int64_t>& dims,
                     const std::vector<std::vector<int64_t>>& operands) {
  std::array<Dims, 3> strides;
  for (size_t o = 0; o < operands.size(); ++o) strides[o] = BroadcastStrides(dims, operands[o]);
  return FromAxes(MergeAxes(dims, strides), true);
}

Loops StridedLoops(const std::vector<int64_t>& dims, const std::vector<int64_t>& strides) {
  return FromAxes(MergeAxes(dims, {strides, Dims(), Dims()}), true);
}

Loops MatrixLoops(const std::vector<int64_t>& lead, const std::vector<int64_t>& a,
                  const std::vector<int64_t>& b, int64_t elements) {
  const auto strides = [&lead](const Dims& operand) {
    Dims leading(operand.begin(), operand.end() - 2);
    Dims by = BroadcastStrides(lead, leading);
    for (int64_t& stride : by) stride *= operand.back() * operand[operand.size() - 2];
    return by;
  };
  Loops loops = FromAxes(MergeAxes(lead, {strides(a), strides(b), Dims()}), false);
  loops.n = elements;
  return loops;
}

}  // namespace gyrfalcon::fused
