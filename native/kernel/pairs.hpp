// Blocks of pairs: every row of x with every row of y. Quantities of one row are computed once. Narrow rows are widened
// once per block and multiplied in tiles.
#pragma once

#include "kernel/row_wide.hpp"
#include "kernel/tiles.hpp"

namespace cosgrad::inline COSGRAD_ISA {

template <class S>
struct Kernel {
  using type = NarrowRow<S>;
};
template <>
struct Kernel<double> {
  using type = WideRow;
};

template <class S>
Row<S> row_of(const PairRow& r) {
  return {reinterpret_cast<const S*>(r.data)};
}

template <class S>
void measure(PairRow* rows, std::int64_t count, std::int64_t n, double eps) {
  for (PairRow* r = rows; r < rows + count; ++r) {
    const auto x = row_of<S>(*r);
    const DD p = dot<typename Accumulator<S>::type>(x, x, n);
    r->p = p.hi;
    r->p_low = p.lo;
    if constexpr (sizeof(S) < 8) {
      r->clamped = NarrowRow<S>::clamped(x, n, p.hi, eps);
      const double inverse = 1 / (r->clamped ? eps : __builtin_sqrt(p.hi));
      r->inverse = !is_finite(p.hi)         ? quiet_nan()
                   : p.hi == 0 && eps == 0  ? 0
                   : inverse >= __DBL_MAX__ ? __DBL_MAX__
                                            : inverse;
    }
  }
}

// Copies elements [from, from + length) of up to W rows to `to` as doubles, element by element, with zeros behind the
// ends. Rows that are not finite are copied as zeros; their effect on results is handled by the callers.
template <int W, class S>
void pack(const PairRow* rows, std::int64_t count, std::int64_t from, std::int64_t length, double* to) {
  for (int top = 0; top < W; top += kLanes)
    for (std::int64_t k = 0; k < length; k += kLanes) {
      Lanes block[kLanes];
#pragma GCC unroll 8
      for (int i = 0; i < kLanes; ++i) {
        const bool there = top + i < count && is_finite(rows[top + i].p);
        const auto x = there ? row_of<S>(rows[top + i]).from(from) : Row<S>{};
        block[i] = !there ? Lanes{} : length - k >= kLanes ? x.at(k) : x.some(k, length - k);
      }
      store_transposed(block, to + k * W + top, W, std::make_integer_sequence<int, kWidth>{});
    }
}

// Computes <x, y> of every pair, in tiles: one panel of kBroad rows of y after the other.
template <class S>
void pair_sums(const PairBlock& b, std::int64_t chain) {
  const std::int64_t tiles = ceil_div(b.rows, kTall), panels = ceil_div(b.columns, kBroad);
  const PairScratch& to = b.scratch;
  std::memset(to.sums, 0, static_cast<std::size_t>(tiles * panels) * sizeof(PairSums));
  for (std::int64_t k = 0; k < b.n; k += kStep) {
    const std::int64_t length = b.n - k < kStep ? b.n - k : kStep, padded = ceil_div(length, kLanes) * kLanes;
    for (std::int64_t i = 0; i < tiles; ++i)
      pack<kTall, S>(b.x + i * kTall, b.rows - i * kTall, k, length, to.tall + i * kTall * kStep);
    for (std::int64_t j = 0; j < panels; ++j)
      pack<kBroad, S>(b.y + j * kBroad, b.columns - j * kBroad, k, length, to.broad + j * kBroad * kStep);
    for (std::int64_t j = 0; j < panels; ++j)
      for (std::int64_t i = 0; i < tiles; ++i)
        for (std::int64_t c = 0; c < padded; c += chain)
          add_products<true>(to.tall + (i * kStep + c) * kTall, to.broad + (j * kStep + c) * kBroad,
                             padded - c < chain ? padded - c : chain, to.sums[j * tiles + i]);
  }
}

// Calls visit(row of x, up to kBroad rows of y, their number, their inverse norms, the sums of their pairs) for all
// tiles.
template <class Visit>
void for_tile_rows(const PairBlock& b, Visit visit) {
  const std::int64_t tiles = ceil_div(b.rows, kTall);
  for (std::int64_t j = 0; j < b.columns; j += kBroad) {
    const int count = static_cast<int>(b.columns - j < kBroad ? b.columns - j : kBroad);
    double inverse[kBroad] = {}, d[kBroad];
    for (int k = 0; k < count; ++k) inverse[k] = b.y[j + k].inverse;
    for (std::int64_t i = 0; i < b.rows; ++i) {
      const PairSums& sums = b.scratch.sums[j / kBroad * tiles + i / kTall];
      for (int k = 0; k < kBroad; ++k) d[k] = sums.hi[i % kTall][k] + sums.lo[i % kTall][k];
      visit(b.x[i], b.y + j, count, inverse, d);
    }
  }
}

// The largest difference between a similarity (or 1 minus it) computed by tiles and by the row kernel. In <x, y> the
// tiles add kStep terms plainly and the row kernel adds 8, each addition with an error of 2^-53 of a sum of at most
// |x||y|. The squares have the same bits. The few roundings of the quotient and of 1 - S are of numbers of at most 1.
// The total is below (64 + 8 + 16) 2^-53.
inline constexpr double kDoubt = (kStep + 32) * 0x1p-53;

// Returns whether all numbers within kDoubt of a round to the same number.
template <class S>
COSGRAD_INLINE bool same_rounding(double a, S& rounding) {
  S other;
  if constexpr (sizeof(S) == 4) {
    rounding = static_cast<float>(a - kDoubt);
    other = static_cast<float>(a + kDoubt);
  } else {
    // The next float below and the next float above bound the interval. If their signs differ, the roundings differ.
    const auto u = bit_cast<std::uint32_t>(static_cast<float>(a - kDoubt));
    const auto v = bit_cast<std::uint32_t>(static_cast<float>(a + kDoubt));
    rounding = halved<S>((u < v ? u : v) - 1);
    other = halved<S>((u < v ? v : u) + 1);
  }
  using Bits = std::conditional_t<sizeof(S) == 4, std::uint32_t, std::uint16_t>;
  return bit_cast<Bits>(rounding) == bit_cast<Bits>(other);
}

template <class S>
void pair_value(const PairValues& t, const PairRow& x, const PairRow& y) {
  const auto v = Kernel<S>::type::values(row_of<S>(x), row_of<S>(y), t.block.n, DD{x.p, x.p_low}, DD{y.p, y.p_low},
                                         t.eps, t.distance != nullptr);
  const S s = rounded<S>(v.similarity), d = rounded<S>(v.distance);
  if (t.similarity) std::memcpy(t.similarity + x.out + y.out, &s, sizeof s);
  if (t.distance) std::memcpy(t.distance + x.out + y.out, &d, sizeof d);
}

// Computes values with the bits of the row kernel. If the sum by tiles decides the rounding, it is used; else the row
// kernel computes the pair.
template <class S>
void pair_values(const PairValues& t) {
  const PairBlock& b = t.block;
  if constexpr (sizeof(S) == 8) {
    for (std::int64_t i = 0; i < b.rows; i += kTall)  // rows of x stay in the cache while the rows of y pass
      for (std::int64_t j = 0; j < b.columns; ++j)
        for (std::int64_t k = i; k < b.rows && k < i + kTall; ++k) pair_value<S>(t, b.x[k], b.y[j]);
  } else {
    pair_sums<S>(b, kStep);
    for_tile_rows(b, [&](const PairRow& x, const PairRow* ys, int count, const double* inverse, const double* d) {
      S s[kBroad], D[kBroad];
      bool sure[kBroad];
      for (int j = 0; j < kBroad; ++j) {
        const double similarity = d[j] * x.inverse * inverse[j];
        sure[j] = !t.similarity || same_rounding(similarity, s[j]);
        if (t.distance) sure[j] &= similarity < kNearlyParallel - kDoubt && same_rounding(1 - similarity, D[j]);
      }
      for (int j = 0; j < count; ++j) {
        if (!sure[j]) {
          pair_value<S>(t, x, ys[j]);
          continue;
        }
        if (t.similarity) std::memcpy(t.similarity + x.out + ys[j].out, &s[j], sizeof(S));
        if (t.distance) std::memcpy(t.distance + x.out + ys[j].out, &D[j], sizeof(S));
      }
    });
  }
}

// Computes the coefficients k of the gradient. dS/dx summed over pairs is the sum over y of k y, minus (sum of k <x,
// y>) / <x, x> times x. A row that is not finite makes every k of its pairs NaN, unless the pair is skipped.
template <class S>
void pair_coefficients(const PairCoefficients& t) {
  const PairBlock& b = t.block;
  pair_sums<S>(b, ExactProductSum::kChain);
  for_tile_rows(b, [&](const PairRow& x, const PairRow* ys, int count, const double* inverse, const double* d) {
    double g[kBroad] = {}, k[kBroad], along[kBroad];
    for (int c = 0; c < count; ++c) g[c] = widened(*reinterpret_cast<const S*>(t.g + x.g + ys[c].g));
    for (int c = 0; c < kBroad; ++c) {
      double both = x.inverse * inverse[c];
      both = both > __DBL_MAX__ ? __DBL_MAX__ : both;
      const double all = (is_finite(g[c]) ? t.negate ? -g[c] : g[c] : quiet_nan()) * both;
      k[c] = t.skip_zero && g[c] == 0 ? 0 : all > __DBL_MAX__ ? __DBL_MAX__ : all < -__DBL_MAX__ ? -__DBL_MAX__ : all;
      along[c] = k[c] == 0 ? 0 : k[c] * d[c];
    }
    const std::int64_t i = &x - b.x, j = ys - b.y;
    if (t.of_x.k)
      for (int c = 0; c < count; ++c) {
        t.of_x.k[i / kTall * t.of_x.step + (j + c) * kTall + i % kTall] = k[c];
        t.of_x.along[i * t.of_x.along_step + (j + c) / kStep] += along[c];
      }
    if (t.of_y.k) {
      for (int c = 0; c < count; c += kTall)
        std::memcpy(t.of_y.k + (j + c) / kTall * t.of_y.step + i * kTall, k + c, kTall * sizeof(double));
      for (int c = 0; c < count; ++c) t.of_y.along[(j + c) * t.of_y.along_step + i / kStep] += along[c];
    }
  });
}

template <class S>
void pair_products(const PairProducts& t) {
  for (std::int64_t from = 0; from < t.count; from += kStep) {
    const std::int64_t count = t.count - from < kStep ? t.count - from : kStep;
    for (std::int64_t k = 0; k < count; ++k) {
      const PairRow& r = t.rows[from + k];
      const auto y = row_of<S>(r).from(t.from);
      for (int j = 0; j < kBroad; j += kLanes) {
        const std::int64_t left = is_finite(r.p) ? t.length - j : 0;
        store(t.scratch + k * kBroad + j, left >= kLanes ? y.at(j) : left > 0 ? y.some(j, left) : Lanes{});
      }
    }
    for (std::int64_t i = 0; i < t.tiles; ++i)
      add_products<false>(t.coefficients + i * t.step + from * kTall, t.scratch, count, t.sums[i]);
  }
}

inline void pair_along(const PairAlong& t) {
  for (std::int64_t i = 0; i < t.rows; ++i)
    for (std::int64_t s = 0; s < t.steps; ++s) {
      const DD sum = two_sum(t.high[i], t.partial[i * t.partial_step + s]);
      t.high[i] = sum.hi;
      t.low[i] += sum.lo;
    }
}

template <class S>
void pair_gradient(const PairRow& r, std::int64_t n, double along, double along_low, const PairSums* sums,
                   std::int64_t step, int row, double* sum) {
  const bool constant = r.clamped || r.p == 0 || !is_finite(r.p);  // then S does not enter the gradient
  const SplitFactor f(constant ? 0 : NarrowRow<S>::slope({along, along_low}, {r.p, r.p_low}));
  const auto x = row_of<S>(r);
  for (std::int64_t i = 0; i < n; i += kLanes, sums += i % kBroad ? 0 : step) {
    double values[kLanes];
    const double *hi = sums->hi[row] + i % kBroad, *lo = sums->lo[row] + i % kBroad;
    const std::int64_t count = n - i < kLanes ? n - i : kLanes;
    const Lanes a = constant ? Lanes{} : count < kLanes ? x.some(i, count) : x.at(i);
    to_array(f.residual(a, load(hi)), values);
    // If a sum is infinite, its error term is NaN and is ignored.
    for (int k = 0; k < count; ++k) sum[i + k] = is_finite(hi[k]) ? values[k] + lo[k] : hi[k];
  }
}

}  // namespace cosgrad::inline COSGRAD_ISA
