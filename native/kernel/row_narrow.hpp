// One row of float16, bfloat16 or float32. Products of two such numbers are exact in double, and sums of their squares
// stay within double's range.
#pragma once

#include "kernel/sinks.hpp"
#include "kernel/sums.hpp"

namespace cosgrad::inline COSGRAD_ISA {

// Above this similarity the distance is computed from the residual, because 1 - S has lost 10 of its 50 bits there.
inline constexpr double kNearlyParallel = 1 - 0x1p-10;

COSGRAD_INLINE bool is_finite(double a) { return a - a == 0; }

inline double quiet_nan() { return __builtin_nan(""); }

// a = high + low with 29 bits in high. The products of both parts with a float are exact in double.
struct SplitFactor {
  Lanes high, low;
  COSGRAD_INLINE explicit SplitFactor(double a) {
    const auto bits = bit_cast<std::uint64_t>(a) & ~((std::uint64_t{1} << 24) - 1);
    const double h = is_finite(a) ? bit_cast<double>(bits) : a;
    high = broadcast(-h);
    low = broadcast(h - a);
  }
  // Returns y - a x, with two roundings of the running difference.
  COSGRAD_INLINE Lanes residual(Lanes x, Lanes y) const {
    return add_exact_product(low, x, add_exact_product(high, x, y));
  }
};

template <class S>
struct NarrowRow {
  using R = Row<S>;

  struct Values {
    double similarity, distance;
  };

  // Returns whether |x| is below eps. If p is too close to eps^2, four doubles decide.
  static bool clamped(const R& x, std::int64_t n, double p, double eps) {
    const double e = eps * eps;
    if (p == 0 || !is_finite(e)) return eps > 0;
    if (!(__builtin_fabs(p - e) <= 0x1p-40 * e)) return p < e;
    return square_minus(x, n, eps).m.hi < 0;
  }

  // Returns 1 - |x| / eps if |x| < eps, else 0. No digit is lost where both are nearly equal.
  static double shortfall(const R& x, std::int64_t n, double p, double eps) {
    const Scaled gap = square_minus(x, n, eps);
    if (!(gap.m.hi < 0)) return 0;
    return rounded(-gap) / (eps * (eps + __builtin_sqrt(p)));
  }

  // Returns the mantissa of a norm's square, which scaling the row by a power of two does not change.
  static double mantissa_of_square(double p) { return power_of_two(-(exponent(p) & ~1)) * p; }

  // Orders two vectors. The order must not depend on which of them is called x, nor on their scale.
  static bool goes_first(const R& x, const R& y, std::int64_t n, double p, double q) {
    const double a = mantissa_of_square(p), b = mantissa_of_square(q);
    if (a != b) return a < b;
    const double fx = power_of_two(-(exponent(p) >> 1)), fy = power_of_two(-(exponent(q) >> 1));
    for (std::int64_t i = 0; i < n; ++i) {
      const double u = x.one(i) * fx, v = y.one(i) * fy;
      if (u != v) return u < v;
    }
    return true;
  }

  // Returns D = <r,r> / (q (1 + S)), where r is the part of y that is orthogonal to x.
  static double residual_distance(R x, R y, std::int64_t n, double p, double q, double d, double similarity) {
    if (!goes_first(x, y, n, p, q)) {
      const R t = x;
      x = y;
      y = t;
      const double u = p;
      p = q;
      q = u;
    }
    const SplitFactor c(d / p);
    ExactProductSum rr, rx;
    sweep<ExactProductSum::kChain>(
        n,
        [&](std::int64_t, int, Lanes a, Lanes b) COSGRAD_BODY {
          const Lanes r = c.residual(a, b);
          rr.add(r * r);
          rx.add(r * a);
        },
        [&]() COSGRAD_BODY {
          rr.flush();
          rx.flush();
        },
        x, y);
    double square = rr.total().hi;
    const double explained = rx.total().hi;
    // Because d / p was rounded, r still contains <r,x> / p of x.
    const double left = explained / p;
    if (square > 4 * left * explained) {
      square -= left * explained;
    } else {
      const SplitFactor m(left);
      ExactProductSum corrected;
      sweep<ExactProductSum::kChain>(
          n,
          [&](std::int64_t, int, Lanes a, Lanes b) COSGRAD_BODY {
            const Lanes r = m.residual(a, c.residual(a, b));
            corrected.add(r * r);
          },
          [&]() COSGRAD_BODY { corrected.flush(); }, x, y);
      square = corrected.total().hi;
    }
    return square / (q * (1 + similarity));
  }

  static Values values(const R& x, const R& y, std::int64_t n, double eps, bool distance) {
    const Sums sum = sums<ExactProductSum>(x, y, n);
    if (!is_finite(sum.p.hi) || !is_finite(sum.q.hi)) return {quiet_nan(), quiet_nan()};
    if (sum.p.hi == 0 || sum.q.hi == 0) return {0, 1};
    return values(x, y, n, sum.p.hi, sum.q.hi, sum.d.hi, eps, distance);
  }

  // The same for two rows whose squares are known, with the same bits.
  static Values values(const R& x, const R& y, std::int64_t n, DD p, DD q, double eps, bool distance) {
    if (!is_finite(p.hi) || !is_finite(q.hi)) return {quiet_nan(), quiet_nan()};
    if (p.hi == 0 || q.hi == 0) return {0, 1};
    return values(x, y, n, p.hi, q.hi, dot<ExactProductSum>(x, y, n).hi, eps, distance);
  }

  static Values values(const R& x, const R& y, std::int64_t n, double p, double q, double d, double eps,
                       bool distance) {
    const bool cx = clamped(x, n, p, eps), cy = clamped(y, n, q, eps);
    const double s = d / norms(p, q, cx, cy, eps);
    if (!distance) return {s, 0};
    if (s <= kNearlyParallel) return {s, 1 - s};
    const double full = residual_distance(x, y, n, p, q, d, d / __builtin_sqrt(p * q));
    if (!cx && !cy) return {s, full};
    const double tx = cx ? shortfall(x, n, p, eps) : 0, ty = cy ? shortfall(y, n, q, eps) : 0;
    const double t = tx + ty * (1 - tx);
    return {s, full * (1 - t) + t};
  }

  // Returns max(|x|, eps) max(|y|, eps).
  COSGRAD_INLINE static double norms(double p, double q, bool cx, bool cy, double eps) {
    if (!cx && !cy) return __builtin_sqrt(p * q);
    return (cx ? eps : __builtin_sqrt(p)) * (cy ? eps : __builtin_sqrt(q));
  }

  // Returns d / p, rounded once. In the gradient its error is multiplied by x_i / |x|.
  COSGRAD_INLINE static double slope(DD d, DD p) { return (d / p).hi; }

  // Returns g / (A B). A B may leave double's range although A and B do not.
  static double quotient(double g, double p, double q, bool cx, bool cy, double eps) {
    if (!cx && !cy) return g / __builtin_sqrt(p * q);
    const double k = g / eps / (cx && cy ? eps : __builtin_sqrt(cx ? q : p));  // symmetric in x and y
    return is_finite(k) ? k : __builtin_copysign(__DBL_MAX__, g);
  }

  template <class SinkX, class SinkY>
  static void gradient(R x, R y, std::int64_t n, double eps, double g, SinkX gx, SinkY gy) {
    const Sums sum = sums<ExactProductSum>(x, y, n);
    const double p = sum.p.hi, q = sum.q.hi;
    if (!is_finite(p) || !is_finite(q) || !is_finite(g) || (eps == 0 && (p == 0 || q == 0)) || g == 0) {
      const double value = is_finite(p) && is_finite(q) && is_finite(g) ? 0 : quiet_nan();
      gx.fill(n, value);
      gy.fill(n, value);
      return;
    }
    const bool cx = clamped(x, n, p, eps), cy = clamped(y, n, q, eps);
    const Lanes k = broadcast(quotient(g, p, q, cx, cy, eps));
    const SplitFactor fx(cx ? 0 : slope(sum.d, sum.p)), fy(cy ? 0 : slope(sum.d, sum.q));
    sweep<4>(
        n,
        [&](std::int64_t i, int count, Lanes a, Lanes b) COSGRAD_BODY {
          if constexpr (SinkX::kWanted) gx.put(i, count, k * fx.residual(a, b), Lanes{});
          if constexpr (SinkY::kWanted) gy.put(i, count, k * fy.residual(b, a), Lanes{});
        },
        [] {}, x, y);
  }

  static double jvp(const R& x, const R& y, const R* dx, const R* dy, std::int64_t n, double eps) {
    const Sums sum = sums<ExactProductSum>(x, y, n);
    const double p = sum.p.hi, q = sum.q.hi;
    if (!is_finite(p) || !is_finite(q)) return quiet_nan();
    const bool zero = eps == 0 && (p == 0 || q == 0);
    const bool cx = zero || clamped(x, n, p, eps);
    const bool cy = zero || clamped(y, n, q, eps);
    const SplitFactor fx(cx ? 0 : slope(sum.d, sum.p)), fy(cy ? 0 : slope(sum.d, sum.q));
    ExactProductSum j;
    const auto along = [&](const R& u, const SplitFactor& f, const R& from, const R& to) {
      sweep<ExactProductSum::kChain>(
          n, [&](std::int64_t, int, Lanes a, Lanes b, Lanes t) COSGRAD_BODY { j.add(t * f.residual(a, b)); },
          [&]() COSGRAD_BODY { j.flush(); }, from, to, u);
    };
    if (dx) along(*dx, fx, x, y);
    if (dy) along(*dy, fy, y, x);
    const double total = j.total().hi;
    if (zero || total == 0) return total * 0;  // NaN if a direction is not finite
    return total * quotient(1, p, q, cx, cy, eps);
  }

  static void normalize(const R& x, std::int64_t n, double eps, const IntoRow<S>& out) {
    const double p = sums<ExactProductSum>(x, x, n).p.hi;
    if (!is_finite(p) || p == 0) return out.fill(n, is_finite(p) ? 0 : quiet_nan());
    const bool cx = clamped(x, n, p, eps);
    const Lanes k = broadcast(1 / (cx ? eps : __builtin_sqrt(p)));
    sweep<4>(n, [&](std::int64_t i, int count, Lanes a) COSGRAD_BODY { out.put(i, count, k * a, Lanes{}); }, [] {}, x);
  }

  static void normalize_backward(const R& x, const R& g, std::int64_t n, double eps, const IntoRow<S>& out) {
    const Sums sum = sums<ExactProductSum>(x, g, n);
    const double p = sum.p.hi, q = sum.q.hi;
    if (!is_finite(p) || !is_finite(q) || (eps == 0 && p == 0))
      return out.fill(n, is_finite(p) && is_finite(q) ? 0 : quiet_nan());
    const bool cx = clamped(x, n, p, eps);
    const double inverse = 1 / (cx ? eps : __builtin_sqrt(p));
    const Lanes k = broadcast(is_finite(inverse) ? inverse : __DBL_MAX__);
    const SplitFactor f(cx ? 0 : slope(sum.d, sum.p));
    sweep<4>(
        n,
        [&](std::int64_t i, int count, Lanes a, Lanes b)
            COSGRAD_BODY { out.put(i, count, k * f.residual(a, b), Lanes{}); },
        [] {}, x, g);
  }
};

}  // namespace cosgrad::inline COSGRAD_ISA
