// One row of float64, in double-double. Rows whose squares leave double's range are scaled by a power of two before
// they are summed. Their gradients are computed element by element, with an exponent beside every number.
#pragma once

#include "kernel/row_narrow.hpp"

namespace cosgrad::inline COSGRAD_ISA {

struct WideRow {
  using R = Row<double>;

  struct Values {
    double similarity, distance;
  };

  // Within these bounds, squares that affect the result and their rounding errors stay within double's range.
  static bool safe(DD p) { return p.hi >= 0x1p-400 && p.hi <= 0x1p900; }

  // Returns the largest magnitude of a row. It is not finite if an element is not finite.
  static double largest(const R& x, std::int64_t n) {
    std::uint64_t most = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto bits = bit_cast<std::uint64_t>(x.data[i]) & INT64_MAX;
      most = bits > most ? bits : most;
    }
    return bit_cast<double>(most);
  }

  // The sums of x 2^-ex and y 2^-ey. `plain` means that both exponents are 0 and nothing has to be scaled.
  struct Stats {
    Sums sum;
    int ex = 0, ey = 0;
    bool plain = true, finite = true;

    Stats(const R& x, const R& y, std::int64_t n) : Stats(x, y, n, sums<DoubleDoubleSum>(x, y, n)) {}
    // The same for two rows whose squares are known, with the same bits.
    Stats(const R& x, const R& y, std::int64_t n, DD p, DD q)
        : Stats(x, y, n, {p, q, safe(p) && safe(q) ? dot<DoubleDoubleSum>(x, y, n) : DD{}}) {}
    Stats(const R& x, const R& y, std::int64_t n, Sums plain_sums) : sum(plain_sums) {
      const bool safe_x = safe(sum.p), safe_y = safe(sum.q);
      if (safe_x && safe_y) return;
      plain = false;
      const double mx = safe_x ? 1 : largest(x, n), my = safe_y ? 1 : largest(y, n);
      finite = is_finite(mx) && is_finite(my);
      if (!finite) return;
      if (!safe_x && mx != 0) ex = exponent(mx);
      if (!safe_y && my != 0) ey = exponent(my);
      if (ex != 0 || ey != 0) sum = sums<DoubleDoubleSum>(ScaledRow(x.data, ex), ScaledRow(y.data, ey), n);
    }
    bool zero() const { return sum.p.hi == 0 || sum.q.hi == 0; }
    // Returns whether every derivative is 0 by rule.
    bool flat(double eps) const { return (eps == 0 && zero()) || !is_finite(eps); }
    Scaled p() const { return scaled(sum.p, 2 * ex); }
    Scaled q() const { return scaled(sum.q, 2 * ey); }
    Scaled d() const { return scaled(sum.d, ex + ey); }
  };

  // Returns |x|^2 - eps^2. If both are too close for double-double, four doubles are used.
  static Scaled beyond(const R& x, std::int64_t n, Scaled p, int e, double eps) {
    const Scaled square = scaled(eps) * scaled(eps);
    const Scaled gap = p - square;
    if (gap.m.hi != 0 && gap.e > p.e - 30) return gap;
    Scaled close = square_minus(ScaledRow(x.data, e), n, times_power_of_two(eps, -e));
    if (close.m.hi != 0) close.e += 2 * e;
    return close;
  }

  struct Norm {
    Scaled value;      // max(|x|, eps)
    Scaled shortfall;  // 1 - |x| / eps where |x| < eps, else 0
    bool clamped;
  };

  static Norm norm(const R& x, std::int64_t n, Scaled p, int e, double eps) {
    const Scaled length = sqrt(p);
    if (eps == 0) return {length, {}, false};
    if (p.m.hi == 0) return {scaled(eps), scaled(1), true};
    const Scaled gap = beyond(x, n, p, e, eps);
    if (!(gap.m.hi < 0)) return {length, {}, false};
    const Scaled floor = scaled(eps);
    return {floor, -gap / (floor * (floor + length)), true};
  }

  static Scaled norms(const Stats& s, const Norm& a, const Norm& b) {
    return a.clamped || b.clamped ? a.value * b.value : sqrt(s.p() * s.q());
  }

  template <class RR>
  static bool goes_first(const RR& x, const RR& y, std::int64_t n, Scaled p, Scaled q) {
    const double fp = p.e & 1 ? 2 : 1, fq = q.e & 1 ? 2 : 1;
    if (p.m.hi * fp != q.m.hi * fq) return p.m.hi * fp < q.m.hi * fq;
    if (p.m.lo * fp != q.m.lo * fq) return p.m.lo * fp < q.m.lo * fq;
    const double fx = power_of_two(-(p.e >> 1)), fy = power_of_two(-(q.e >> 1));
    for (std::int64_t i = 0; i < n; ++i) {
      const double u = x.one(i) * fx, v = y.one(i) * fy;
      if (u != v) return u < v;
    }
    return true;
  }

  // Returns y - c x. Every rounding error is kept, so the result is accurate relative to the difference itself.
  COSGRAD_INLINE static Pair<Lanes> residual(DD c, Lanes x, Lanes y) {
    const auto h = two_product(broadcast(c.hi), x), f = two_product(broadcast(c.lo), x);
    const auto s1 = two_sum(y, -h.hi);
    const auto s2 = two_sum(s1.hi, -h.lo);
    const auto s3 = two_sum(s2.hi, -f.hi);
    return two_sum(s3.hi, ((s1.lo + s2.lo) + s3.lo) - f.lo);
  }

  // Returns <r,r> / q.
  template <class RR>
  static Scaled residual_square(const RR& x, const RR& y, std::int64_t n, DD p, DD q, DD d) {
    const DD c = d / p;
    DoubleDoubleSum rr, rx;
    const auto add_square = [](DoubleDoubleSum& sum, Pair<Lanes> r) COSGRAD_BODY {
      const auto square = two_product(r.hi, r.hi);
      sum.add(square.hi, square.lo + (r.hi + r.hi) * r.lo);
    };
    sweep<DoubleDoubleSum::kChain>(
        n,
        [&](std::int64_t, int, Lanes a, Lanes b) COSGRAD_BODY {
          const auto r = residual(c, a, b);
          add_square(rr, r);
          const auto product = two_product(r.hi, a);
          rx.add(product.hi, product.lo + r.lo * a);
        },
        [&]() COSGRAD_BODY {
          rr.flush();
          rx.flush();
        },
        x, y);
    DD square = rr.total();
    const DD explained = rx.total();
    // Because d / p was rounded, r still contains <r,x> / p of x.
    const DD left = explained / p;
    if (square.hi > 4 * left.hi * explained.hi) {
      square = square - left * explained;
    } else {
      DoubleDoubleSum corrected;
      sweep<DoubleDoubleSum::kChain>(
          n,
          [&](std::int64_t, int, Lanes a, Lanes b) COSGRAD_BODY {
            const auto r = residual(c, a, b);
            const auto h = two_product(broadcast(left.hi), a);
            const auto s = two_sum(r.hi, -h.hi);
            add_square(corrected, two_sum(s.hi, ((s.lo + r.lo) - h.lo) - broadcast(left.lo) * a));
          },
          [&]() COSGRAD_BODY { corrected.flush(); }, x, y);
      square = corrected.total();
    }
    return scaled(square) / scaled(q);
  }

  template <class RR>
  static Scaled ordered_residual_square(const RR& x, const RR& y, std::int64_t n, const Sums& s) {
    if (goes_first(x, y, n, scaled(s.p), scaled(s.q))) return residual_square(x, y, n, s.p, s.q, s.d);
    return residual_square(y, x, n, s.q, s.p, s.d);
  }

  static Values values(const R& x, const R& y, std::int64_t n, double eps, bool distance) {
    return values(x, y, n, Stats(x, y, n), eps, distance);
  }
  static Values values(const R& x, const R& y, std::int64_t n, DD p, DD q, double eps, bool distance) {
    return values(x, y, n, Stats(x, y, n, p, q), eps, distance);
  }

  static Values values(const R& x, const R& y, std::int64_t n, const Stats& stats, double eps, bool distance) {
    if (!stats.finite) return {quiet_nan(), quiet_nan()};
    if (stats.zero() || !is_finite(eps)) return {0, 1};
    const Norm a = norm(x, n, stats.p(), stats.ex, eps), b = norm(y, n, stats.q(), stats.ey, eps);
    const Scaled s = stats.d() / norms(stats, a, b);
    const double similarity = rounded(s);
    if (!distance) return {similarity, 0};
    if (similarity <= kNearlyParallel) return {similarity, rounded(scaled(1) - s)};
    const Scaled square =
        stats.plain ? ordered_residual_square(x, y, n, stats.sum)
                    : ordered_residual_square(ScaledRow(x.data, stats.ex), ScaledRow(y.data, stats.ey), n, stats.sum);
    const Scaled cosine = stats.d() / sqrt(stats.p() * stats.q());
    const Scaled full = square / (scaled(1) + cosine);
    const Scaled t = a.shortfall + b.shortfall * (scaled(1) - a.shortfall);
    return {similarity, rounded(full * (scaled(1) - t) + t)};
  }

  // Computes k (y - c x) element by element. `fast` means that nothing can leave double's range; otherwise exponents
  // are kept separately.
  struct ScaledResidual {
    Scaled k, c;
    DD fast_k, fast_c;
    bool fast;

    ScaledResidual(Scaled factor, Scaled slope, bool plain)
        : k(factor), c(slope), fast(plain && within(factor) && within(slope)) {
      if (fast) {
        fast_k = plain_pair(k);
        fast_c = plain_pair(c);
      }
    }
    static bool within(Scaled a) { return a.e >= -400 && a.e <= 400; }
    static DD plain_pair(Scaled a) {
      const double f = power_of_two(a.e);
      return {a.m.hi * f, a.m.lo * f};
    }

    COSGRAD_INLINE Pair<Lanes> difference(Lanes x, Lanes y) const {
      const auto h = two_product(broadcast(fast_c.hi), x);
      const auto s = two_sum(y, -h.hi);
      return {s.hi, (s.lo - h.lo) - broadcast(fast_c.lo) * x};
    }

    template <class Sink>
    COSGRAD_INLINE void put(const Sink& sink, std::int64_t i, int count, const R& x, const R& y, Lanes a,
                            Lanes b) const {
      if (fast) {
        const auto r = difference(a, b);
        const auto v = two_product(r.hi, broadcast(fast_k.hi));
        const Lanes error = v.lo + (r.hi * broadcast(fast_k.lo) + r.lo * broadcast(fast_k.hi));
        if (all_between(one_where_zero(r, magnitude(v.hi)), 0x1p-960, 0x1p1000)) return sink.put(i, count, v.hi, error);
      }
      for (int j = 0; j < count; ++j) sink.put_one(i + j, one(x.one(i + j), y.one(i + j)));
    }

    COSGRAD_INLINE static Lanes one_where_zero(const Pair<Lanes>& r, Lanes value) {
      return each_part([&](int k) COSGRAD_BODY {
        return (r.hi.part[k] == Part{}) & (r.lo.part[k] == Part{}) ? Part{} + 1.0 : value.part[k];
      });
    }

    Scaled one(double x, double y) const { return (scaled(y) - c * scaled(x)) * k; }
  };

  template <class SinkX, class SinkY>
  static void gradient(R x, R y, std::int64_t n, double eps, double g, SinkX gx, SinkY gy) {
    const Stats stats(x, y, n);
    const bool finite = stats.finite && is_finite(g);
    if (!finite || stats.flat(eps) || g == 0) {
      gx.fill(n, finite ? 0 : quiet_nan());
      gy.fill(n, finite ? 0 : quiet_nan());
      return;
    }
    const Norm a = norm(x, n, stats.p(), stats.ex, eps), b = norm(y, n, stats.q(), stats.ey, eps);
    const Scaled k = scaled(g) / norms(stats, a, b);
    const ScaledResidual fx(k, a.clamped ? Scaled{} : stats.d() / stats.p(), stats.plain);
    const ScaledResidual fy(k, b.clamped ? Scaled{} : stats.d() / stats.q(), stats.plain);
    sweep<1>(
        n,
        [&](std::int64_t i, int count, Lanes u, Lanes v) COSGRAD_BODY {
          if constexpr (SinkX::kWanted) fx.put(gx, i, count, x, y, u, v);
          if constexpr (SinkY::kWanted) fy.put(gy, i, count, y, x, v, u);
        },
        [] {}, x, y);
  }

  // Returns the sum of u_i k (to_i - c from_i).
  static Scaled directional(const R& u, const R& from, const R& to, std::int64_t n, const ScaledResidual& f) {
    const double most = largest(u, n);
    if (most == 0) return {};
    if (f.fast && most >= 0x1p-300 && most <= 0x1p300) {
      DoubleDoubleSum j;
      Lanes rest{};
      sweep<DoubleDoubleSum::kChain>(
          n,
          [&](std::int64_t, int, Lanes a, Lanes b, Lanes t) COSGRAD_BODY {
            const auto r = f.difference(a, b);
            const auto product = two_product(t, r.hi);
            j.add(product.hi, product.lo + t * r.lo);
            rest = rest + magnitude(r.hi);
          },
          [&]() COSGRAD_BODY { j.flush(); }, from, to, u);
      const DD total = j.total();
      // Small products may have underflowed, unless all residuals are zero.
      if (__builtin_fabs(total.hi) > 0x1p-600 || all_between(rest, 0, 0)) return scaled(total) * f.k;
    }
    Scaled j{};
    for (std::int64_t i = 0; i < n; ++i) j = j + scaled(u.one(i)) * f.one(from.one(i), to.one(i));
    return j;
  }

  static double jvp(const R& x, const R& y, const R* dx, const R* dy, std::int64_t n, double eps) {
    const Stats stats(x, y, n);
    if (!stats.finite || (dx && !is_finite(largest(*dx, n))) || (dy && !is_finite(largest(*dy, n)))) return quiet_nan();
    if (stats.flat(eps)) return 0;
    const Norm a = norm(x, n, stats.p(), stats.ex, eps), b = norm(y, n, stats.q(), stats.ey, eps);
    const Scaled k = scaled(1) / norms(stats, a, b);
    Scaled j{};
    if (dx) j = directional(*dx, x, y, n, {k, a.clamped ? Scaled{} : stats.d() / stats.p(), stats.plain});
    if (dy) j = j + directional(*dy, y, x, n, {k, b.clamped ? Scaled{} : stats.d() / stats.q(), stats.plain});
    return rounded(j);
  }

  static void normalize(const R& x, std::int64_t n, double eps, const IntoRow<double>& out) {
    const Stats stats(x, x, n);
    if (!stats.finite || stats.zero() || !is_finite(eps)) return out.fill(n, stats.finite ? 0 : quiet_nan());
    const Norm a = norm(x, n, stats.p(), stats.ex, eps);
    const ScaledResidual f(scaled(1) / a.value, Scaled{}, stats.plain);
    sweep<1>(n, [&](std::int64_t i, int count, Lanes u) COSGRAD_BODY { f.put(out, i, count, x, x, u, u); }, [] {}, x);
  }

  static void normalize_backward(const R& x, const R& g, std::int64_t n, double eps, const IntoRow<double>& out) {
    const Stats stats(x, g, n);
    const bool nothing = stats.sum.q.hi == 0 || (eps == 0 && stats.sum.p.hi == 0) || !is_finite(eps);
    if (!stats.finite || nothing) return out.fill(n, stats.finite ? 0 : quiet_nan());
    const Norm a = norm(x, n, stats.p(), stats.ex, eps);
    const ScaledResidual f(scaled(1) / a.value, a.clamped ? Scaled{} : stats.d() / stats.p(), stats.plain);
    sweep<1>(
        n, [&](std::int64_t i, int count, Lanes u, Lanes v) COSGRAD_BODY { f.put(out, i, count, x, g, u, v); }, [] {},
        x, g);
  }
};

}  // namespace cosgrad::inline COSGRAD_ISA
