// Eight doubles, for any width of a register. Every instruction set combines the same lanes in the same order, so
// all return the same bits. All code below the kernel table is in a namespace named after its instruction set, because
// the linker must never merge code that was compiled for two of them.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#ifndef COSGRAD_ISA
#define COSGRAD_ISA baseline
#endif

// For inner loops and their lambdas. Compilers do not always inline them, and a call passes vectors through memory.
// Under a sanitizer they are not forced inline, which saves minutes of compile time.
#if defined(COSGRAD_SANITIZED)
#define COSGRAD_INLINE inline
#define COSGRAD_BODY
#else
#define COSGRAD_INLINE [[gnu::always_inline]] inline
#define COSGRAD_BODY __attribute__((always_inline))
#endif

namespace cosgrad::inline COSGRAD_ISA {

#if defined(__AVX512F__)
inline constexpr int kWidth = 8;
#elif defined(__AVX2__)
inline constexpr int kWidth = 4;
#else
inline constexpr int kWidth = 2;
#endif
inline constexpr int kLanes = 8;
inline constexpr int kParts = kLanes / kWidth;

#if defined(__FMA__) || defined(__aarch64__)
inline constexpr bool kFused = true;
#else
inline constexpr bool kFused = false;
#endif

using Part = double __attribute__((vector_size(kWidth * 8)));
using PartMask = std::int64_t __attribute__((vector_size(kWidth * 8)));

struct Lanes {
  Part part[kParts];
};

COSGRAD_INLINE double get(const Lanes& a, int i) { return a.part[i / kWidth][i % kWidth]; }
COSGRAD_INLINE void set(Lanes& a, int i, double value) { a.part[i / kWidth][i % kWidth] = value; }

template <class F>
COSGRAD_INLINE Lanes each_part(F f) {
  Lanes r;
#pragma GCC unroll 4
  for (int k = 0; k < kParts; ++k) r.part[k] = f(k);
  return r;
}

COSGRAD_INLINE Lanes broadcast(double a) {
  return each_part([&](int) COSGRAD_BODY { return Part{} + a; });
}
COSGRAD_INLINE Lanes operator+(Lanes a, Lanes b) {
  return each_part([&](int k) COSGRAD_BODY { return a.part[k] + b.part[k]; });
}
COSGRAD_INLINE Lanes operator-(Lanes a, Lanes b) {
  return each_part([&](int k) COSGRAD_BODY { return a.part[k] - b.part[k]; });
}
COSGRAD_INLINE Lanes operator*(Lanes a, Lanes b) {
  return each_part([&](int k) COSGRAD_BODY { return a.part[k] * b.part[k]; });
}
COSGRAD_INLINE Lanes operator-(Lanes a) {
  return each_part([&](int k) COSGRAD_BODY { return -a.part[k]; });
}

COSGRAD_INLINE Part fused_multiply_subtract([[maybe_unused]] Part a, [[maybe_unused]] Part b, [[maybe_unused]] Part c) {
#if defined(__AVX512F__)
  return _mm512_fmsub_pd(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmsub_pd(a, b, c);
#elif defined(__aarch64__)
  return vnegq_f64(vfmsq_f64(c, a, b));
#else
  return Part{};
#endif
}

// Returns a b + c where a b is exact in double. A fused operation and two separate ones give the same bits.
COSGRAD_INLINE Part add_exact_product(Part a, Part b, Part c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_pd(a, b, c);
#elif defined(__FMA__)
  return _mm256_fmadd_pd(a, b, c);
#elif defined(__aarch64__)
  return vfmaq_f64(c, a, b);
#else
  return a * b + c;
#endif
}
COSGRAD_INLINE Lanes add_exact_product(Lanes a, Lanes b, Lanes c) {
  return each_part([&](int k) COSGRAD_BODY { return add_exact_product(a.part[k], b.part[k], c.part[k]); });
}

COSGRAD_INLINE Lanes magnitude(Lanes a) {
  return each_part([&](int k) COSGRAD_BODY {
    return reinterpret_cast<Part>(reinterpret_cast<PartMask>(a.part[k]) & (PartMask{} + INT64_MAX));
  });
}

COSGRAD_INLINE void to_array(Lanes a, double* out) { std::memcpy(out, &a, sizeof a); }

// Returns whether every magnitude is in [least, most]; false for NaN.
COSGRAD_INLINE bool all_between(Lanes magnitude, double least, double most) {
#if defined(__AVX512F__)
  const __m512d m = magnitude.part[0];
  const __mmask8 in = _mm512_cmp_pd_mask(m, _mm512_set1_pd(least), _CMP_GE_OQ) &
                      _mm512_cmp_pd_mask(m, _mm512_set1_pd(most), _CMP_LE_OQ);
  return in == 0xff;
#else
  PartMask in = PartMask{} - 1;
#pragma GCC unroll 4
  for (int k = 0; k < kParts; ++k)
    in &= (magnitude.part[k] >= (Part{} + least)) & (magnitude.part[k] <= (Part{} + most));
  bool all = true;
#pragma GCC unroll 4
  for (int k = 0; k < kWidth; ++k) all &= in[k] != 0;
  return all;
#endif
}

}  // namespace cosgrad::inline COSGRAD_ISA
