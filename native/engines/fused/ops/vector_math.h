// Elementary functions over a vector policy (vector.h). Polynomials are least-maximum fits of our
// own in f32; the error bounds are ops.h's and tested.
#ifndef GYRFALCON_ENGINES_FUSED_OPS_VECTOR_MATH_H_
#define GYRFALCON_ENGINES_FUSED_OPS_VECTOR_MATH_H_

#include "engines/fused/ops/vector.h"

namespace gyrfalcon::fused {
namespace {

template <class V>
struct VectorMath {
  using Vec = typename V::Vec;
  using Int = typename V::Int;

  GYR_VECTOR Vec Set(float x) { return V::Set1(x); }
  // NaN in x stays NaN.
  GYR_VECTOR Vec AtMost(Vec x, float most) { return V::Select(x > Set(most), Set(most), x); }
  GYR_VECTOR Vec AtLeast(Vec x, float least) { return V::Select(x < Set(least), Set(least), x); }

  template <int kCount>
  GYR_VECTOR Vec Polynomial(const float (&c)[kCount], Vec x) {
    Vec value = Set(c[kCount - 1]);
    for (int i = kCount - 2; i >= 0; --i) value = V::MulAdd(value, x, Set(c[i]));
    return value;
  }

  // To the nearest integer, ties to even; larger magnitudes are integers already.
  GYR_VECTOR Vec Round(Vec x) {
    const Vec magic = Set(8388608.0f);  // 2^23
    const Vec rounded = V::WithSign((V::Abs(x) + magic) - magic, x);
    return V::Select(V::Abs(x) < magic, rounded, x);
  }
  GYR_VECTOR Vec Floor(Vec x) {
    const Vec rounded = Round(x);
    return V::WithSign(V::Select(rounded > x, rounded - Set(1.0f), rounded), rounded);
  }
  GYR_VECTOR Vec Ceil(Vec x) { return -Floor(-x); }

  // 2^n for integral n in -252 ... 254, as two factors so that the product may be denormal.
  GYR_VECTOR Vec Scale(Vec value, Vec n) {
    const Int whole = V::ToInt(n);
    const Int half = whole >> 1;
    const Int bias = V::SetInt(127);
    return value * V::FromBits((half + bias) << 23) * V::FromBits((whole - half + bias) << 23);
  }

  // e^(x - n log 2), n next to x / log 2.
  GYR_VECTOR Vec ExpNear(Vec x, Vec n) {
    Vec r = V::MulAdd(n, Set(-0.693145751953125f), x);  // exact: n has 8 bits, the constant 16
    r = V::MulAdd(n, Set(-1.42860677e-6f), r);
    constexpr float kP[] = {0.500000003f, 0.166665769f, 0.0416663749f, 0.00836319707f,
                            0.00139411427f};
    return V::MulAdd(Polynomial(kP, r), r * r, r) + Set(1.0f);
  }

  GYR_VECTOR Vec Exp(Vec given) {
    const Vec x = AtLeast(AtMost(given, 90.0f), -105.0f);
    const Vec n = Round(x * Set(1.44269504f));
    const Vec p = ExpNear(x, n);
    // A NaN must not reach the conversion to integers.
    const Vec safe = V::Select(n == n, n, Set(0.0f));
    return Scale(p, safe);
  }

  // e^x of x <= 0 for sums of at least 1: 0 below e^-87, near which the denormal numbers begin that
  // take processors long.
  GYR_VECTOR Vec ExpOrZero(Vec given) {
    const Vec x = AtLeast(given, -87.0f);
    // What is added leaves the nearest integer in the lowest bits, in two's complement.
    const Vec magic = Set(12582912.0f);  // 1.5 * 2^23
    const Vec shifted = V::MulAdd(x, Set(1.44269504f), magic);
    const Vec n = shifted - magic;
    const Vec p = ExpNear(x, n);
    const Vec scale = V::FromBits((V::Bits(shifted) + V::SetInt(127)) << 23);
    return V::Select(given < Set(-87.0f), Set(0.0f), p * scale);
  }

  GYR_VECTOR Vec Log(Vec given) {
    const auto denormal = given < Set(1.17549435e-38f);
    const Vec scaled = V::Select(denormal, given * Set(8388608.0f), given);
    // What has no logarithm must not overflow the integers below.
    const Vec x = V::Select(given > Set(0.0f), scaled, Set(1.0f));
    const Int bits = V::Bits(x);
    // The mantissa in [sqrt(1/2), sqrt(2)).
    const Int shifted = bits - V::SetInt(0x3f3504f3);
    Vec exponent = V::ToFloat(shifted >> 23);
    exponent = exponent - V::Select(denormal, Set(23.0f), Set(0.0f));
    const Vec m = V::FromBits((shifted & V::SetInt(0x7fffff)) + V::SetInt(0x3f3504f3));
    const Vec f = m - Set(1.0f);
    const Vec s = f / (m + Set(1.0f));
    const Vec t = s * s;
    constexpr float kP[] = {0.666666687f, 0.400000006f, 0.285714298f, 0.222222224f, 0.181818187f};
    // log(m) = f - s·(f - t·P(t)), which keeps f's last bits.
    const Vec low = V::MulAdd(exponent, Set(1.42860677e-6f), -s * (f - t * Polynomial(kP, t)));
    Vec y = V::MulAdd(exponent, Set(0.693145751953125f), f + low);
    y = V::Select(given == Set(__builtin_inff()), given, y);
    y = V::Select(given == Set(0.0f), Set(-__builtin_inff()), y);
    return V::Select(given >= Set(0.0f), y, Set(__builtin_nanf("")));
  }

  // log(1 + x), x >= 0.
  GYR_VECTOR Vec Log1p(Vec x) {
    const Vec u = x + Set(1.0f);
    const Vec d = u - Set(1.0f);
    return V::Select(d == Set(0.0f), x, Log(u) * (x / d));
  }

  GYR_VECTOR Vec Sigmoid(Vec x) { return Set(1.0f) / (Set(1.0f) + Exp(-x)); }

  GYR_VECTOR Vec Tanh(Vec x) {
    const Vec magnitude = V::Abs(x);
    const Vec t = x * x;
    constexpr float kP[] = {-0.333333292f, 0.133327942f, -0.0538540127f, 0.0210098044f,
                            -0.0061127826f};
    const Vec small = V::MulAdd(x * t, Polynomial(kP, t), x);
    const Vec e = Exp(magnitude + magnitude);
    const Vec large = Set(1.0f) - Set(2.0f) / (e + Set(1.0f));
    return V::Select(magnitude < Set(0.625f), small, V::WithSign(large, x));
  }

  // e^x - 1.
  GYR_VECTOR Vec Expm1(Vec x) {
    const Vec t = Tanh(x * Set(0.5f));
    const Vec near = (t + t) / (Set(1.0f) - t);
    return V::Select(V::Abs(x) < Set(1.0f), near, Exp(x) - Set(1.0f));
  }

  GYR_VECTOR Vec Erf(Vec x) {
    const Vec magnitude = AtMost(V::Abs(x), 4.0f);
    const Vec t = x * x;
    constexpr float kSmall[] = {1.12837917f,    -0.376126271f,    0.112836002f,   -0.0268544445f,
                                0.00518953519f, -0.000802083994f, 7.88911507e-05f};
    constexpr float kLarge[] = {0.00020436229f,  -1.12966117f,     -0.633039584f,
                                -0.108639034f,   0.0253735834f,    -0.00428239607f,
                                0.000463792017f, -2.53154737e-05f, 2.51374007e-07f};
    const Vec small = x * Polynomial(kSmall, t);
    const Vec large = Set(1.0f) - Exp(Polynomial(kLarge, magnitude));
    return V::Select(V::Abs(x) < Set(1.0f), small, V::WithSign(large, x));
  }

  GYR_VECTOR Vec Softplus(Vec x) {
    return V::Select(x < Set(0.0f), Set(0.0f), x) + Log1p(Exp(-V::Abs(x)));
  }

  // sin(x + quarter·pi/2) for |x| <= 8192. Beyond, the caller takes the library's function.
  GYR_VECTOR Vec SinQuarter(Vec x, int quarter) {
    const Vec n = Round(x * Set(0.636619772f));
    Vec r = V::MulAdd(n, Set(-1.5703125f), x);  // 8 bits: exact for n below 2^16
    r = V::MulAdd(n, Set(-4.837512969970703e-4f), r);
    r = V::MulAdd(n, Set(-7.549789948768648e-8f), r);
    const Vec t = r * r;
    constexpr float kSin[] = {-0.166666667f, 0.00833333191f, -0.000198400992f, 2.72510821e-06f};
    constexpr float kCos[] = {0.041666687f, -0.00138918032f, 2.51290813e-05f};
    const Vec sine = V::MulAdd(r * t, Polynomial(kSin, t), r);
    const Vec cosine = V::MulAdd(t * t, Polynomial(kCos, t), Set(1.0f) - Set(0.5f) * t);
    const Int at = V::ToInt(n) + V::SetInt(quarter);
    const Vec value = V::Select((at & V::SetInt(1)) == V::SetInt(0), sine, cosine);
    return V::Select((at & V::SetInt(2)) == V::SetInt(0), value, -value);
  }
};

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_OPS_VECTOR_MATH_H_
