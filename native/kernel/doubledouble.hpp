// Error-free transformations and double-double arithmetic, for one double or for eight lanes. Knuth's TwoSum and
// Dekker's FastTwoSum and TwoProduct: T. Ogita, S. M. Rump, S. Oishi, "Accurate sum and dot product", SIAM J. Sci.
// Comput. 26 (2005). The compiler must not contract or reassociate anything in this file.
#pragma once

#include "kernel/storage.hpp"

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__)
#error "reassociation destroys error-free transformations: compile without -ffast-math"
#endif

namespace cosgrad::inline COSGRAD_ISA {

// hi + lo, with |lo| at most half an ulp of hi.
template <class T>
struct Pair {
  T hi, lo;
};
using DD = Pair<double>;

template <class T>
COSGRAD_INLINE Pair<T> two_sum(T a, T b) {
  const T s = a + b;
  const T bb = s - a;
  return {s, (a - (s - bb)) + (b - bb)};
}

// Exact where |a| >= |b| or a == 0.
template <class T>
COSGRAD_INLINE Pair<T> fast_two_sum(T a, T b) {
  const T s = a + b;
  return {s, b - (s - a)};
}

template <class T>
COSGRAD_INLINE T split_product_error(T a, T b, T product, T splitter) {
  const T ca = splitter * a, cb = splitter * b;
  const T a1 = ca - (ca - a), b1 = cb - (cb - b);
  const T a2 = a - a1, b2 = b - b1;
  return ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2;
}

// Returns a b = hi + lo. lo is the result of one fused operation, exact unless it underflows. Without a fused
// instruction the product is split. Below kLeastSplit the parts of a split product would underflow differently, so the
// C library's fma computes lo.
inline constexpr double kLeastSplit = 0x1p-900;

COSGRAD_INLINE Pair<double> two_product(double a, double b) {
  const double p = a * b;
  if (kFused || !(__builtin_fabs(p) >= kLeastSplit)) return {p, __builtin_fma(a, b, -p)};
  return {p, split_product_error(a, b, p, 0x1p27 + 1)};
}

// Not inlined, because it is rarely called.
[[gnu::noinline, maybe_unused]] static Lanes library_product_error(const Lanes& a, const Lanes& b, const Lanes& p) {
  Lanes e{};
  for (int k = 0; k < kLanes; ++k) set(e, k, __builtin_fma(get(a, k), get(b, k), -get(p, k)));
  return e;
}

COSGRAD_INLINE Pair<Lanes> two_product(Lanes a, Lanes b) {
  const Lanes p = a * b;
  if constexpr (kFused) {
    return {p, each_part([&](int k) COSGRAD_BODY { return fused_multiply_subtract(a.part[k], b.part[k], p.part[k]); })};
  } else {
    if (all_between(magnitude(p), kLeastSplit, __DBL_MAX__))
      return {p, split_product_error(a, b, p, broadcast(0x1p27 + 1))};
    return {p, library_product_error(a, b, p)};
  }
}

COSGRAD_INLINE DD operator-(DD a) { return {-a.hi, -a.lo}; }

// The relative error of each operation below is a few 2^-104. A sum is relative to |a| + |b| only if the low parts
// cancel too, which `operator+` prevents by keeping both errors.
COSGRAD_INLINE DD operator+(DD a, DD b) {
  DD s = two_sum(a.hi, b.hi);
  const DD t = two_sum(a.lo, b.lo);
  s = fast_two_sum(s.hi, s.lo + t.hi);
  return fast_two_sum(s.hi, s.lo + t.lo);
}
COSGRAD_INLINE DD operator-(DD a, DD b) { return a + -b; }

// The cross terms are added first, so that a b and b a have the same bits.
COSGRAD_INLINE DD operator*(DD a, DD b) {
  const DD p = two_product(a.hi, b.hi);
  return fast_two_sum(p.hi, p.lo + (a.hi * b.lo + a.lo * b.hi));
}

COSGRAD_INLINE DD operator/(DD a, DD b) {
  const double q1 = a.hi / b.hi;
  DD r = a - DD{q1, 0} * b;
  const double q2 = r.hi / b.hi;
  r = r - DD{q2, 0} * b;
  const double q3 = r.hi / b.hi;
  return fast_two_sum(q1, q2) + DD{q3, 0};
}

COSGRAD_INLINE DD sqrt(DD a) {
  if (a.hi == 0) return {0, 0};
  const double s = __builtin_sqrt(a.hi);
  const DD r = a - two_product(s, s);
  return fast_two_sum(s, r.hi / (2 * s));
}

// Returns the sum of eight lanes, always added in the same order.
COSGRAD_INLINE DD total(const Pair<Lanes>& lanes) {
  double hi[kLanes], lo[kLanes];
  to_array(lanes.hi, hi);
  to_array(lanes.lo, lo);
#pragma GCC unroll 3
  for (int step = kLanes / 2; step; step /= 2) {
#pragma GCC unroll 4
    for (int i = 0; i < step; ++i) {
      const DD s = two_sum(hi[i], hi[i + step]);
      lo[i] = (lo[i] + lo[i + step]) + s.lo;
      hi[i] = s.hi;
    }
  }
  return two_sum(hi[0], lo[0]);
}

// A double-double with its own exponent, m 2^e: nothing overflows or underflows between a row and its result.
struct Scaled {
  DD m;
  int e;
};

inline constexpr int kMaxExponent = 1023, kMinExponent = -1022;

COSGRAD_INLINE double power_of_two(int e) {  // kMinExponent <= e <= kMaxExponent
  return bit_cast<double>(static_cast<std::uint64_t>(e + kMaxExponent) << 52);
}

// floor(log2 |a|) for finite a != 0.
COSGRAD_INLINE int exponent(double a) {
  const auto biased = static_cast<int>((bit_cast<std::uint64_t>(a) >> 52) & 0x7ff);
  if (biased) return biased - kMaxExponent;
  return static_cast<int>((bit_cast<std::uint64_t>(a * 0x1p52) >> 52) & 0x7ff) - kMaxExponent - 52;
}

COSGRAD_INLINE double times_power_of_two(double a, int e) {
  const int half = e / 2;
  return a * power_of_two(half) * power_of_two(e - half);
}

// |m| in [1, 2), or 0.
COSGRAD_INLINE Scaled scaled(DD m, int e = 0) {
  if (m.hi == 0) return {{0, 0}, 0};
  const int k = exponent(m.hi);
  return {{times_power_of_two(m.hi, -k), times_power_of_two(m.lo, -k)}, e + k};
}
COSGRAD_INLINE Scaled scaled(double a) { return scaled(DD{a, 0}); }

COSGRAD_INLINE Scaled operator*(Scaled a, Scaled b) { return scaled(a.m * b.m, a.e + b.e); }
COSGRAD_INLINE Scaled operator/(Scaled a, Scaled b) { return scaled(a.m / b.m, a.e - b.e); }
COSGRAD_INLINE Scaled operator-(Scaled a) { return {-a.m, a.e}; }

COSGRAD_INLINE Scaled operator+(Scaled a, Scaled b) {
  if (a.m.hi == 0) return b;
  if (b.m.hi == 0) return a;
  if (a.e < b.e) {
    const Scaled t = a;
    a = b;
    b = t;
  }
  const int shift = b.e - a.e;
  if (shift < -200) return a;
  const double f = power_of_two(shift);
  return scaled(a.m + DD{b.m.hi * f, b.m.lo * f}, a.e);
}
COSGRAD_INLINE Scaled operator-(Scaled a, Scaled b) { return a + -b; }

COSGRAD_INLINE Scaled sqrt(Scaled a) {
  const int odd = a.e & 1;
  const double f = odd ? 2 : 1;
  return scaled(sqrt(DD{a.m.hi * f, a.m.lo * f}), (a.e - odd) / 2);
}

// Rounds m 2^e below the normal numbers once, with integers. A sticky bit stands for the bits below m.hi.
inline double rounded_subnormal(DD m, int e) {
  const int drop = kMinExponent - e;
  if (drop > 53) return __builtin_copysign(0, m.hi);
  const auto bits = bit_cast<std::uint64_t>(m.hi);
  const std::uint64_t one = 1, sign = bits & (one << 63);
  std::uint64_t wide = ((bits & ((one << 52) - 1)) | one << 52) << 10;
  if (m.lo != 0) wide = (m.lo > 0) == (m.hi > 0) ? wide + 1 : wide - 1;
  const int shift = 10 + drop;
  const std::uint64_t kept = wide >> shift, rest = wide & ((one << shift) - 1), half = one << (shift - 1);
  return bit_cast<double>(sign | (kept + (rest > half || (rest == half && (kept & 1)))));
}

COSGRAD_INLINE double rounded(Scaled a) {
  if (a.m.hi == 0) return 0;
  const DD m = fast_two_sum(a.m.hi, a.m.lo);
  if (a.e > kMaxExponent + 1) return m.hi * __builtin_inf();
  if (a.e < kMinExponent) return rounded_subnormal(m, a.e);
  return times_power_of_two(m.hi, a.e);
}

}  // namespace cosgrad::inline COSGRAD_ISA
