// The destination of a gradient: none, its row, or a wider row that sums over the rows of a broadcast operand.
#pragma once

#include "kernel/doubledouble.hpp"

namespace cosgrad::inline COSGRAD_ISA {

struct Nowhere {
  static constexpr bool kWanted = false;
  COSGRAD_INLINE void put(std::int64_t, int, Lanes, Lanes) const {}
  COSGRAD_INLINE void put_one(std::int64_t, Scaled) const {}
  COSGRAD_INLINE void fill(std::int64_t, double) const {}
};

template <class S>
struct IntoRow {
  static constexpr bool kWanted = true;
  S* out;
  bool streams = false;

  IntoRow(S* row, bool stream)
      : out(row), streams(stream && reinterpret_cast<std::uintptr_t>(row) % (8 * sizeof(S)) == 0) {}

  COSGRAD_INLINE void put(std::int64_t i, int count, Lanes hi, Lanes lo) const {
    if constexpr (sizeof(S) == 8) hi = hi + lo;
    if (count == kLanes && streams)
      store_streaming(out + i, hi);
    else if (count == kLanes)
      store(out + i, hi);
    else
      store_some(out + i, count, hi);
  }
  COSGRAD_INLINE void put_one(std::int64_t i, Scaled v) const {
    if constexpr (sizeof(S) == 8) out[i] = rounded(v);
  }
  void fill(std::int64_t n, double value) const {
    const S s = rounded<S>(value);
    for (std::int64_t i = 0; i < n; ++i) out[i] = s;
  }
};

// A row of doubles (narrow storage), or two rows with the high parts and the low parts (double).
template <class S>
struct OntoSum {
  static constexpr bool kWanted = true;
  double* sum;
  std::int64_t n;

  COSGRAD_INLINE void put(std::int64_t i, int count, Lanes hi, Lanes lo) const {
    double a[kLanes], b[kLanes];
    if (count < kLanes || sizeof(S) == 8) {
      to_array(hi, a);
      to_array(lo, b);
      for (int k = 0; k < count; ++k) add(i + k, {a[k], b[k]});
    } else {
      store(sum + i, load(sum + i) + hi);
    }
  }
  COSGRAD_INLINE void put_one(std::int64_t i, Scaled v) const {
    const double hi = rounded(v);
    const double lo = hi - hi == 0 ? rounded(v - scaled(hi)) : 0;
    add(i, {hi, lo});
  }
  void fill(std::int64_t count, double value) const {
    if (value == 0) return;
    for (std::int64_t i = 0; i < count; ++i) add(i, {value, 0});
  }

  COSGRAD_INLINE void add(std::int64_t i, DD v) const {
    if constexpr (sizeof(S) == 8) {
      const DD s = DD{sum[i], sum[n + i]} + v;
      const double plain = sum[i] + v.hi;
      // If a sum is infinite, its error term is NaN and is ignored.
      sum[i] = plain - plain == 0 ? s.hi : plain;
      sum[n + i] = plain - plain == 0 ? s.lo : 0;
    } else {
      sum[i] += v.hi;
    }
  }
};

}  // namespace cosgrad::inline COSGRAD_ISA
