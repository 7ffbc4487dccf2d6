// The three sums of a row, p = <x,x>, q = <y,y>, d = <x,y>, in one sweep and with twice the precision of a double.
#pragma once

#include "kernel/doubledouble.hpp"

namespace cosgrad::inline COSGRAD_ISA {

// A sum of products that are exact in double. A lane adds kChain of them plainly, with at most kChain - 1 roundings of
// 2^-53, and is then added to a TwoSum pair. So the error does not grow with the length of the row.
struct ExactProductSum {
  static constexpr int kChain = 8;
  Lanes chain{}, hi{}, lo{};

  COSGRAD_INLINE void add_product(Lanes a, Lanes b) { chain = add_exact_product(a, b, chain); }
  COSGRAD_INLINE void add(Lanes a) { chain = chain + a; }
  COSGRAD_INLINE void flush() {
    const auto s = two_sum(hi, chain);
    hi = s.hi;
    lo = lo + s.lo;
    chain = Lanes{};
  }
  COSGRAD_INLINE DD total() const { return cosgrad::total(Pair<Lanes>{hi, lo}); }
};

// A sum of products in double-double. The low part collects errors of at most 2^-53 of the high part. It is added to
// the high part every kChain products, so an addition loses at most kChain 2^-106 of its lane.
struct DoubleDoubleSum {
  static constexpr int kChain = 4;
  Lanes hi{}, lo{};

  COSGRAD_INLINE void add(Lanes a, Lanes error) {
    const auto s = two_sum(hi, a);
    hi = s.hi;
    lo = lo + (s.lo + error);
  }
  COSGRAD_INLINE void add_product(Lanes a, Lanes b) {
    const auto p = two_product(a, b);
    add(p.hi, p.lo);
  }
  COSGRAD_INLINE void flush() {
    const auto s = two_sum(hi, lo);
    hi = s.hi;
    lo = s.lo;
  }
  COSGRAD_INLINE DD total() const { return cosgrad::total(Pair<Lanes>{hi, lo}); }
};

template <class S>
struct Accumulator {
  using type = ExactProductSum;
};
template <>
struct Accumulator<double> {
  using type = DoubleDoubleSum;
};

// A row in memory.
template <class S>
struct Row {
  const S* data;
  COSGRAD_INLINE Lanes at(std::int64_t i) const { return load(data + i); }
  COSGRAD_INLINE Lanes some(std::int64_t i, std::int64_t count) const { return load_some(data + i, count); }
  COSGRAD_INLINE double one(std::int64_t i) const { return widened(data[i]); }
  Row from(std::int64_t i) const { return {data + i}; }
};

// A row of doubles times 2^-e, for rows whose squares leave double's range. Components that underflow by this scaling
// are below 2^-1000 of the largest.
struct ScaledRow {
  const double* data;
  double f1, f2;

  ScaledRow(const double* row, int e) : data(row), f1(power_of_two(-e / 2)), f2(power_of_two(-e + e / 2)) {}
  COSGRAD_INLINE Lanes times(Lanes a) const { return a * broadcast(f1) * broadcast(f2); }
  COSGRAD_INLINE Lanes at(std::int64_t i) const { return times(load(data + i)); }
  COSGRAD_INLINE Lanes some(std::int64_t i, std::int64_t count) const { return times(load_some(data + i, count)); }
  COSGRAD_INLINE double one(std::int64_t i) const { return data[i] * f1 * f2; }
  ScaledRow from(std::int64_t i) const {
    ScaledRow rest = *this;
    rest.data += i;
    return rest;
  }
};

// Visits the rows eight elements at a time and calls `flush` every `chain` visits. `body` gets the index, the number of
// elements (8, except at the end) and one Lanes per row, with zeros behind the end.
template <int chain, class Body, class Flush, class... R>
COSGRAD_INLINE void sweep(std::int64_t n, Body body, Flush flush, const R&... rows) {
  std::int64_t i = 0;
  for (; i + chain * kLanes <= n; i += chain * kLanes) {
#pragma GCC unroll 8
    for (int k = 0; k < chain; ++k) body(i + k * kLanes, kLanes, rows.at(i + k * kLanes)...);
    flush();
  }
  for (; i + kLanes <= n; i += kLanes) body(i, kLanes, rows.at(i)...);
  if (i < n) body(i, static_cast<int>(n - i), rows.some(i, n - i)...);
  flush();
}

struct Sums {
  DD p, q, d;
};

template <class Sum, class R>
Sums segment_sums(const R& x, const R& y, std::int64_t n) {
  Sum p, q, d;
  sweep<Sum::kChain>(
      n,
      [&](std::int64_t, int, Lanes a, Lanes b) COSGRAD_BODY {
        p.add_product(a, a);
        q.add_product(b, b);
        d.add_product(a, b);
      },
      [&]() COSGRAD_BODY {
        p.flush();
        q.flush();
        d.flush();
      },
      x, y);
  return {p.total(), q.total(), d.total()};
}

// The error of an addition grows with the lane's sum, so long rows are summed in segments.
inline constexpr std::int64_t kSegment = 4096;

template <class Sum, class R>
Sums sums(const R& x, const R& y, std::int64_t n) {
  Sums all = segment_sums<Sum>(x, y, n < kSegment ? n : kSegment);
  for (std::int64_t i = kSegment; i < n; i += kSegment) {
    const Sums next = segment_sums<Sum>(x.from(i), y.from(i), n - i < kSegment ? n - i : kSegment);
    all = {all.p + next.p, all.q + next.q, all.d + next.d};
  }
  return all;
}

// Computes one of the three sums, with the same bits.
template <class Sum, class R>
DD dot(const R& x, const R& y, std::int64_t n) {
  DD all{};
  for (std::int64_t i = 0; i == 0 || i < n; i += kSegment) {
    Sum d;
    sweep<Sum::kChain>(
        n - i < kSegment ? n - i : kSegment,
        [&](std::int64_t, int, Lanes a, Lanes b) COSGRAD_BODY { d.add_product(a, b); },
        [&]() COSGRAD_BODY { d.flush(); }, x.from(i), y.from(i));
    all = i == 0 ? d.total() : all + d.total();
  }
  return all;
}

// Returns the sum of x_i^2 - eps^2 to about 210 bits of its largest term. It decides whether a norm is below eps, and
// by how much, if both agree to many digits. SumK with K = 4, Ogita, Rump, Oishi (2005).
template <class R>
Scaled square_minus(const R& x, std::int64_t n, double eps) {
  double s[4] = {};
  const auto add = [&](double t) {
    for (int k = 0; k < 3; ++k) {
      const DD next = two_sum(s[k], t);
      s[k] = next.hi;
      t = next.lo;
    }
    s[3] += t;
  };
  const DD e = two_product(eps, eps);
  add(-e.hi);
  add(-e.lo);
  for (std::int64_t i = 0; i < n; ++i) {
    const DD square = two_product(x.one(i), x.one(i));
    add(square.hi);
    add(square.lo);
  }
  // Added from the smallest on: once the large ones have cancelled, the four overlap little.
  DD r = two_sum(s[2], s[3]);
  r = DD{s[1], 0} + r;
  r = DD{s[0], 0} + r;
  return scaled(r);
}

}  // namespace cosgrad::inline COSGRAD_ISA
