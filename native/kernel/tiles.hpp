// Matrix products of doubles in tiles of registers, for pairs of rows. Every element of a product is summed in the
// order of its terms, for any width of a register. So every instruction set returns the same bits.
#pragma once

#include <utility>

#include "kernel/sums.hpp"
#include "kernel/table.hpp"

namespace cosgrad::inline COSGRAD_ISA {

// The register tile of this instruction set, within a tile of kTall x kBroad: as many sums as the registers hold.
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

inline constexpr int kTileTall = kWidth == 8 ? 8 : 4;
inline constexpr int kTileParts = 3;
static_assert(kTall % kTileTall == 0 && kBroad % (kTileParts * kWidth) == 0);

COSGRAD_INLINE Part splat(double a) {
#if defined(__AVX512F__)
  return _mm512_set1_pd(a);
#elif defined(__AVX2__)
  return _mm256_set1_pd(a);
#else
  return Part{a, a};
#endif
}

COSGRAD_INLINE Part load_part(const double* p) {
  Part a;
  std::memcpy(&a, p, sizeof a);
  return a;
}
COSGRAD_INLINE void store_part(double* p, Part a) { std::memcpy(p, &a, sizeof a); }

// Returns a b + c, rounded once.
COSGRAD_INLINE Part fused_multiply_add(Part a, Part b, Part c) {
  if constexpr (kFused) return add_exact_product(a, b, c);
  Part r{};
  for (int k = 0; k < kWidth; ++k) r[k] = __builtin_fma(a[k], b[k], c[k]);
  return r;
}

// sums[i][j] += sum over k of a[k][i] b[k][j]. The terms are summed plainly, and their sum is added to the two parts of
// sums[i][j] without error. So the error is at most count 2^-53 of the sum of the terms' magnitudes. `exact` means that
// the products are exact in double.
template <bool exact>
[[gnu::noinline]] void add_products(const double* a, const double* b, std::int64_t count, PairSums& sums) {
  for (int top = 0; top < kTall; top += kTileTall)
    for (int left = 0; left < kBroad; left += kTileParts * kWidth) {
      Part s[kTileTall][kTileParts] = {};
      const double *row = a + top, *column = b + left;
      for (std::int64_t k = 0; k < count; ++k, row += kTall, column += kBroad) {
        Part v[kTileParts];
#pragma GCC unroll 3
        for (int j = 0; j < kTileParts; ++j) v[j] = load_part(column + j * kWidth);
#pragma GCC unroll 8
        for (int i = 0; i < kTileTall; ++i) {
          const Part u = splat(row[i]);
#pragma GCC unroll 3
          for (int j = 0; j < kTileParts; ++j)
            s[i][j] = exact ? add_exact_product(u, v[j], s[i][j]) : fused_multiply_add(u, v[j], s[i][j]);
        }
      }
#pragma GCC unroll 8
      for (int i = 0; i < kTileTall; ++i)
#pragma GCC unroll 3
        for (int j = 0; j < kTileParts; ++j) {
          double *hi = &sums.hi[top + i][left + j * kWidth], *lo = &sums.lo[top + i][left + j * kWidth];
          const auto t = two_sum(load_part(hi), s[i][j]);
          store_part(hi, t.hi);
          store_part(lo, load_part(lo) + t.lo);
        }
    }
}

// Transposes eight rows of eight elements, in blocks of one register per row.
template <int... k>
COSGRAD_INLINE void store_transposed(const Lanes (&rows)[kLanes], double* to, std::int64_t step,
                                     std::integer_sequence<int, k...>) {
#pragma GCC unroll 4
  for (int i = 0; i < kParts; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < kParts; ++j) {
      Part r[kWidth], t[kWidth];
#pragma GCC unroll 8
      for (int m = 0; m < kWidth; ++m) r[m] = rows[i * kWidth + m].part[j];
#pragma GCC unroll 3
      for (int stage = 1; stage < kWidth; stage *= 2) {
#pragma GCC unroll 4
        for (int m = 0; m < kWidth / 2; ++m) {
          t[2 * m] = __builtin_shufflevector(r[m], r[m + kWidth / 2], (k / 2 + k % 2 * kWidth)...);
          t[2 * m + 1] = __builtin_shufflevector(r[m], r[m + kWidth / 2], (k / 2 + kWidth / 2 + k % 2 * kWidth)...);
        }
#pragma GCC unroll 8
        for (int m = 0; m < kWidth; ++m) r[m] = t[m];
      }
#pragma GCC unroll 8
      for (int m = 0; m < kWidth; ++m) store_part(to + (j * kWidth + m) * step + i * kWidth, r[m]);
    }
}

}  // namespace cosgrad::inline COSGRAD_ISA
