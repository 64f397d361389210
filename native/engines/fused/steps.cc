#include "engines/fused/steps.h"

#include <algorithm>
#include <cstring>

namespace gyrfalcon::fused {
namespace {

template <typename T>
void ConvertFrom(const Step& step, const Frame& frame) {
  const Operand& from = step.in[0];
  const auto* x = reinterpret_cast<const T*>(from.base) + from.stride * frame.row;
  float* y = At(step.y, frame);
  for (int64_t r = 0; r < frame.rows; ++r, x += from.stride, y += step.y.stride) {
    for (int64_t i = 0; i < step.n; ++i) y[i] = static_cast<float>(x[i]);
  }
}

// Calls f(offsets of the operands, offset in y) for each vector of a row.
template <int kOperands, typename F>
void EachVector(const Loops& loops, F f) {
  int64_t index[kMaxLoops] = {};
  int64_t at[kOperands] = {};
  for (int64_t y = 0;; y += loops.n) {
    f(at, y);
    int d = loops.rank - 1;
    for (; d >= 0; --d) {
      const auto i = static_cast<size_t>(d);
      for (int operand = 0; operand < kOperands; ++operand) at[operand] += loops.stride[operand][i];
      if (++index[i] < loops.extent[i]) break;
      index[i] = 0;
      for (int operand = 0; operand < kOperands; ++operand) {
        at[operand] -= loops.stride[operand][i] * loops.extent[i];
      }
    }
    if (d < 0) return;
  }
}

// Whether all rows of the block are one vector.
bool IsFlat(const Step& step, int operands, int64_t rows) {
  const Loops& loops = step.loops;
  if (loops.rank != 0) return false;
  if (rows == 1) return true;
  bool flat = step.y.stride == loops.n;
  for (int i = 0; i < operands; ++i) {
    flat = flat && (loops.step[i] == 0 ? step.in[i].stride == 0 : step.in[i].stride == loops.n);
  }
  return flat;
}

template <int kOperands, typename F>
void Elementwise(const Step& step, const Frame& frame, F kernel) {
  const float* in[3] = {};
  for (int i = 0; i < kOperands; ++i) in[i] = At(step.in[i], frame);
  float* y = At(step.y, frame);
  const Loops& loops = step.loops;
  if (IsFlat(step, kOperands, frame.rows)) {
    kernel(in, y, loops.n * frame.rows);
    return;
  }
  for (int64_t r = 0; r < frame.rows; ++r) {
    EachVector<kOperands>(loops, [&](const int64_t* at, int64_t to) {
      const float* vectors[3] = {};
      for (int i = 0; i < kOperands; ++i) vectors[i] = in[i] + at[i];
      kernel(vectors, y + to, loops.n);
    });
    for (int i = 0; i < kOperands; ++i) in[i] += step.in[i].stride;
    y += step.y.stride;
  }
}

inline void CopyVector(const float* x, int64_t step, float* y, int64_t n) {
  if (step != 1) {
    for (int64_t i = 0; i < n; ++i) y[i] = x[i * step];
    return;
  }
  // As small as the heads of an attention often are, a call costs more than the copy.
  constexpr int64_t kSmall = 32;
  if (n > kSmall) {
    std::memcpy(y, x, static_cast<size_t>(n) * sizeof(float));
    return;
  }
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) std::memcpy(y + i, x + i, 4 * sizeof(float));
  for (; i < n; ++i) y[i] = x[i];
}

// Copies in the order of `loops`, of which the innermost is one loop here.
void CopyLoops(const Loops& loops, const float* x, float* y) {
  if (loops.rank == 0) return CopyVector(x, loops.step[0], y, loops.n);
  Loops outer = loops;
  const auto inner = static_cast<size_t>(--outer.rank);
  const int64_t extent = loops.extent[inner];
  const int64_t stride = loops.stride[0][inner];
  outer.n *= extent;
  EachVector<1>(outer, [&](const int64_t* at, int64_t to) {
    const float* from = x + at[0];
    float* into = y + to;
    for (int64_t i = 0; i < extent; ++i, from += stride, into += loops.n) {
      CopyVector(from, loops.step[0], into, loops.n);
    }
  });
}

// Moves on to the next row of y and one operand.
template <typename F>
void EachRow(const Step& step, const Frame& frame, F f) {
  const float* x = At(step.in[0], frame);
  float* y = At(step.y, frame);
  for (int64_t r = 0; r < frame.rows; ++r, x += step.in[0].stride, y += step.y.stride) f(x, y);
}

void ReduceRow(const Step& step, const float* x, float* y) {
  for (int64_t o = 0; o < step.outer; ++o) {
    if (step.n == 1) {
      y[o] = step.ops->reduce(step.reduce, x + o * step.count, step.count);
    } else {
      step.ops->reduce_rows(step.reduce, x + o * step.count * step.n, step.count, step.n,
                            y + o * step.n);
    }
  }
}

}  // namespace

void RunConvert(const Step& step, const Frame& frame) {
  switch (step.dtype) {
    case Dtype::kI32:
      return ConvertFrom<int32_t>(step, frame);
    case Dtype::kI64:
      return ConvertFrom<int64_t>(step, frame);
    case Dtype::kI8:
      return ConvertFrom<int8_t>(step, frame);
    case Dtype::kBool: {
      // Any byte but 0 is true.
      ConvertFrom<uint8_t>(step, frame);
      float* y = At(step.y, frame);
      for (int64_t r = 0; r < frame.rows; ++r, y += step.y.stride) {
        for (int64_t i = 0; i < step.n; ++i) y[i] = y[i] != 0.0f ? 1.0f : 0.0f;
      }
      return;
    }
    case Dtype::kU8:
      return ConvertFrom<uint8_t>(step, frame);
    default:
      return ConvertFrom<float>(step, frame);
  }
}

void RunLinear(const Step& step, const Frame& frame) {
  Epilogue epilogue = step.epilogue;
  const int64_t lead = step.count;
  const Operand& x = step.in[0];
  const Operand& mul = step.in[1];
  const Operand& add = step.in[2];
  const bool has_mul = epilogue.mul_stride != 0;
  const bool has_add = epilogue.add_stride != 0;
  if (has_mul) epilogue.mul = At(mul, frame);
  if (has_add) epilogue.add = At(add, frame);
  GemmArgs args;
  args.weights = step.weights;
  args.epilogue = &epilogue;
  args.scratch = frame.aux;
  args.run_rows = lead * frame.run_rows;
  if (frame.parts > 1) {
    const int64_t units = (step.n + kColumnUnit - 1) / kColumnUnit;
    const int64_t end = units * (frame.part + 1) / frame.parts * kColumnUnit;
    args.first_column = units * frame.part / frame.parts * kColumnUnit;
    args.columns = std::min(end, step.n) - args.first_column;
  }
  args.x = At(x, frame);
  args.y = At(step.y, frame);
  // Within a row of the batch, rows of the product follow one another.
  const bool merged = x.stride == lead * step.k && step.y.stride == lead * step.n &&
                      (!has_mul || mul.stride == lead * epilogue.mul_stride) &&
                      (!has_add || add.stride == lead * epilogue.add_stride);
  if (lead == 1) {
    args.m = frame.rows;
    args.x_stride = x.stride;
    args.y_stride = step.y.stride;
    epilogue.mul_stride = mul.stride;
    epilogue.add_stride = add.stride;
    RunGemm(args);
    return;
  }
  args.x_stride = step.k;
  args.y_stride = step.n;
  args.m = merged ? lead * frame.rows : lead;
  const int64_t calls = merged ? 1 : frame.rows;
  for (int64_t r = 0; r < calls; ++r) {
    RunGemm(args);
    args.x += x.stride;
    args.y += step.y.stride;
    if (has_mul) epilogue.mul += mul.stride;
    if (has_add) epilogue.add += add.stride;
  }
}

void RunUnary(const Step& step, const Frame& frame) {
  Elementwise<1>(step, frame, [&](const float* const* in, float* y, int64_t n) {
    step.ops->unary(step.act, in[0], y, n);
  });
}

void RunBinary(const Step& step, const Frame& frame) {
  Elementwise<2>(step, frame, [&](const float* const* in, float* y, int64_t n) {
    step.ops->binary(step.binary, in[0], step.loops.step[0], in[1], step.loops.step[1], y, n);
  });
}

void RunWhere(const Step& step, const Frame& frame) {
  const int64_t* const by = step.loops.step;
  Elementwise<3>(step, frame, [&](const float* const* in, float* y, int64_t n) {
    step.ops->where(in[0], by[0], in[1], by[1], in[2], by[2], y, n);
  });
}

void RunReduce(const Step& step, const Frame& frame) {
  EachRow(step, frame, [&](const float* x, float* y) { ReduceRow(step, x, y); });
}

void RunReduceMoved(const Step& step, const Frame& frame) {
  auto* const moved = reinterpret_cast<float*>(frame.aux);
  EachRow(step, frame, [&](const float* x, float* y) {
    CopyLoops(step.loops, x, moved);
    ReduceRow(step, moved, y);
  });
}

void RunSoftmax(const Step& step, const Frame& frame) {
  EachRow(step, frame, [&](const float* x, float* y) {
    for (int64_t o = 0; o < step.outer; ++o) {
      const int64_t at = o * step.count * step.n;
      if (step.n == 1) {
        step.ops->softmax(x + at, y + at, step.count, step.flag);
      } else {
        step.ops->softmax_rows(x + at, y + at, step.count, step.n, step.flag);
      }
    }
  });
}

void RunLayerNorm(const Step& step, const Frame& frame) {
  EachRow(step, frame, [&](const float* x, float* y) {
    for (int64_t o = 0; o < step.outer; ++o) {
      step.ops->layer_norm(x + o * step.n, y + o * step.n, step.n, step.gamma, step.beta,
                           step.number, step.flag);
    }
  });
}

void RunMatmul(const Step& step, const Frame& frame) {
  MatmulArgs args;
  args.a_row = step.a_row;
  args.a_k = step.a_k;
  args.b_k = step.b_k;
  args.b_column = step.b_column;
  args.m = step.m;
  args.k = step.k;
  args.n = step.n;
  args.scale = step.number;
  const float* a = At(step.in[0], frame);
  const float* b = At(step.in[1], frame);
  float* y = At(step.y, frame);
  for (int64_t r = 0; r < frame.rows; ++r) {
    EachVector<2>(step.loops, [&](const int64_t* at, int64_t to) {
      args.a = a + at[0];
      args.b = b + at[1];
      args.c = y + to;
      step.ops->matmul(args);
    });
    a += step.in[0].stride;
    b += step.in[1].stride;
    y += step.y.stride;
  }
}

void RunPairwise(const Step& step, const Frame& frame) {
  auto* const rows = reinterpret_cast<const float**>(frame.aux);
  float* y = At(step.y, frame);
  for (int64_t r = 0; r < frame.rows; ++r, y += step.y.stride) {
    int64_t next = 0;
    for (int64_t part = 0; part < step.count; ++part) {
      const Operand& operand = step.parts[part];
      const float* const x = At(operand, frame) + r * operand.stride;
      for (int64_t i = 0; i < step.part_rows[part]; ++i) rows[next++] = x + i * step.k;
    }
    step.ops->pairwise({rows, step.k, step.tiles, step.n, y});
  }
}

void RunCopy(const Step& step, const Frame& frame) {
  EachRow(step, frame, [&](const float* x, float* y) { CopyLoops(step.loops, x, y); });
}

void RunPlace(const Step& step, const Frame& frame) {
  EachRow(step, frame, [&](const float* x, float* y) {
    for (int64_t o = 0; o < step.outer; ++o) CopyVector(x + o * step.n, 1, y + o * step.k, step.n);
  });
}

void RunGather(const Step& step, const Frame& frame) {
  EachRow(step, frame, [&](const float* x, float* y) {
    for (int64_t o = 0; o < step.outer; ++o) {
      for (int64_t i = 0; i < step.count; ++i) {
        CopyVector(x + (o * step.k + step.indices[i]) * step.n, 1,
                   y + (o * step.count + i) * step.n, step.n);
      }
    }
  });
}

void RunIota(const Step& step, const Frame& frame) {
  float* const y = At(step.y, frame);
  for (int64_t i = 0; i < step.n; ++i) y[i] = static_cast<float>(i);
}

}  // namespace gyrfalcon::fused
