// The four storage types. A load widens to double exactly; a store rounds once.
#pragma once

#include "kernel/simd.hpp"

namespace cosgrad::inline COSGRAD_ISA {

struct Float16 {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

using F32x8 = float __attribute__((vector_size(32)));
using U32x8 = std::uint32_t __attribute__((vector_size(32)));
using I32x8 = std::int32_t __attribute__((vector_size(32)));
using U16x8 = std::uint16_t __attribute__((vector_size(16)));
using PartF32 = float __attribute__((vector_size(kWidth * 4)));

// GCC converts whole vectors in two halves unless the code splits them itself.
COSGRAD_INLINE Part widen_part(PartF32 a) {
#if defined(__AVX512F__)
  return _mm512_cvtps_pd(a);
#elif defined(__AVX2__)
  return _mm256_cvtps_pd(a);
#else
  return __builtin_convertvector(a, Part);
#endif
}

COSGRAD_INLINE PartF32 narrow_part(Part a) {
#if defined(__AVX512F__)
  return _mm512_cvtpd_ps(a);
#elif defined(__AVX2__)
  return _mm256_cvtpd_ps(a);
#else
  return __builtin_convertvector(a, PartF32);
#endif
}

COSGRAD_INLINE Lanes widen(const F32x8& a) {
  PartF32 part[kParts];
#if defined(__AVX2__) && !defined(__AVX512F__)
  part[0] = _mm256_castps256_ps128(a);
  part[1] = _mm256_extractf128_ps(a, 1);
#else
  std::memcpy(part, &a, sizeof part);
#endif
  return each_part([&](int k) COSGRAD_BODY { return widen_part(part[k]); });
}

COSGRAD_INLINE F32x8 narrow(const Lanes& a) {
#if defined(__AVX512F__)
  return narrow_part(a.part[0]);
#elif defined(__AVX2__)
  return _mm256_set_m128(narrow_part(a.part[1]), narrow_part(a.part[0]));
#else
  PartF32 part[kParts];
  for (int k = 0; k < kParts; ++k) part[k] = narrow_part(a.part[k]);
  F32x8 r;
  std::memcpy(&r, part, sizeof r);
  return r;
#endif
}

template <class To, class From>
COSGRAD_INLINE To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// Rounding to nearest even with integers, for the vector store and the scalar store.

template <class U, class F>
COSGRAD_INLINE U select(F condition, U a, U b) {
  if constexpr (sizeof(U) == 4)
    return condition ? a : b;
  else
    return (a & reinterpret_cast<U>(condition)) | (b & ~reinterpret_cast<U>(condition));
}

template <class U>
COSGRAD_INLINE U bfloat16_bits(U u) {
  const U rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return select<U>((u & 0x7fffffffu) > 0x7f800000u, (u >> 16) | 0x40u, rounded);
}

template <class F, class U>
COSGRAD_INLINE U float16_bits(U u) {
  const U sign = (u >> 16) & 0x8000u;
  const U a = u & 0x7fffffffu;
  // 0.5 + a rounds a to 2^-24, the spacing of float16's subnormals. The low bits then hold the multiple of it.
  const U subnormal = bit_cast<U>(bit_cast<F>(a) + 0.5f) - 0x3f000000u;
  const U normal = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13;
  U r = select<U>(a < 0x38800000u, subnormal, normal);
  r = select<U>(a >= 0x477ff000u, U{} + 0x7c00u, r);
  r = select<U>(a > 0x7f800000u, U{} + 0x7e00u, r);
  return r | sign;
}

template <class F, class U>
COSGRAD_INLINE F float16_value(U bits) {
  const U sign = (bits & 0x8000u) << 16;
  const U a = (bits & 0x7fffu) << 13;
  // Multiplying by 2^112 rebiases the exponent and normalises subnormals. It is exact.
  const U finite = bit_cast<U>(F(bit_cast<F>(a) * 0x1p112f));
  return bit_cast<F>(U(select<U>(a >= 0x0f800000u, a | 0x7f800000u, finite) | sign));
}

COSGRAD_INLINE Lanes load(const double* p) {
  Lanes r;
  std::memcpy(&r, p, sizeof r);
  return r;
}

COSGRAD_INLINE Lanes load(const float* p) {
  return each_part([&](int k) COSGRAD_BODY {
    PartF32 part;
    std::memcpy(&part, p + k * kWidth, sizeof part);
    return widen_part(part);
  });
}

COSGRAD_INLINE Lanes load(const BFloat16* p) {
  U16x8 v;
  std::memcpy(&v, p, sizeof v);
#if defined(__AVX2__)
  return widen(bit_cast<F32x8>(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bit_cast<__m128i>(v)), 16)));
#else
  return widen(bit_cast<F32x8>(U32x8(__builtin_convertvector(v, U32x8) << 16)));
#endif
}

COSGRAD_INLINE Lanes load(const Float16* p) {
#if defined(__F16C__)
  __m128i v;
  std::memcpy(&v, p, sizeof v);
  return widen(bit_cast<F32x8>(_mm256_cvtph_ps(v)));
#else
  U16x8 v;
  std::memcpy(&v, p, sizeof v);
  return widen(float16_value<F32x8>(__builtin_convertvector(v, U32x8)));
#endif
}

COSGRAD_INLINE void store(double* p, const Lanes& a) { std::memcpy(p, &a, sizeof a); }

COSGRAD_INLINE void store(float* p, const Lanes& a) {
#pragma GCC unroll 4
  for (int k = 0; k < kParts; ++k) {
    const PartF32 part = narrow_part(a.part[k]);
    std::memcpy(p + k * kWidth, &part, sizeof part);
  }
}

COSGRAD_INLINE void store(BFloat16* p, const Lanes& a) {
  const U32x8 bits = bfloat16_bits(bit_cast<U32x8>(narrow(a)));
#if defined(__AVX512VL__)
  const __m128i v = _mm256_cvtepi32_epi16(bit_cast<__m256i>(bits));
#else
  const U16x8 v = __builtin_convertvector(bits, U16x8);
#endif
  std::memcpy(p, &v, sizeof v);
}

COSGRAD_INLINE void store(Float16* p, const Lanes& a) {
#if defined(__F16C__)
  const __m128i v = _mm256_cvtps_ph(bit_cast<__m256>(narrow(a)), _MM_FROUND_TO_NEAREST_INT);
#else
  const U16x8 v = __builtin_convertvector(float16_bits<F32x8>(bit_cast<U32x8>(narrow(a))), U16x8);
#endif
  std::memcpy(p, &v, sizeof v);
}

// Stores past the caches if the platform has such a store. p must be aligned to eight elements.
template <class S>
COSGRAD_INLINE void store_streaming(S* p, const Lanes& a) {
#if defined(__AVX2__)
  alignas(64) S some[kLanes];
  store(some, a);
  if constexpr (sizeof(S) == 2) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(p), *reinterpret_cast<const __m128i*>(some));
  } else {
    for (std::size_t k = 0; k < sizeof(S) / 4; ++k)
      _mm256_stream_si256(reinterpret_cast<__m256i*>(p) + k, reinterpret_cast<const __m256i*>(some)[k]);
  }
#else
  store(p, a);
#endif
}

// Makes streamed stores visible to other threads. They are not visible before.
inline void finish_streaming() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

// Loads the first `count` < 8 elements. The others are 0, which changes no sum.
template <class S>
COSGRAD_INLINE Lanes load_some(const S* p, std::int64_t count) {
  S some[kLanes] = {};
  std::memcpy(some, p, static_cast<std::size_t>(count) * sizeof(S));
  return load(some);
}

template <class S>
COSGRAD_INLINE void store_some(S* p, std::int64_t count, const Lanes& a) {
  S some[kLanes];
  store(some, a);
  std::memcpy(p, some, static_cast<std::size_t>(count) * sizeof(S));
}

// Rounds double to float, to odd. A second rounding to 8 or 11 bits is then as good as a single one.
COSGRAD_INLINE float round_to_odd(double a) {
  const float f = static_cast<float>(a);
  const auto bits = bit_cast<std::uint32_t>(f);
  const double back = f;
  if (back == a || !(a - a == 0) || !(f - f == 0) || (bits & 1)) return f;
  const bool away = (back < a) == (a > 0);
  return bit_cast<float>(away ? bits + 1 : bits - 1);
}

// Rounds the float with these bits to a 16-bit type.
template <class S>
COSGRAD_INLINE S halved(std::uint32_t u) {
  if constexpr (__is_same(S, BFloat16))
    return {static_cast<std::uint16_t>(bfloat16_bits(u))};
  else
    return {static_cast<std::uint16_t>(float16_bits<float>(u))};
}

template <class S>
COSGRAD_INLINE S rounded(double a) {
  if constexpr (sizeof(S) == 8)
    return a;
  else if constexpr (sizeof(S) == 4)
    return static_cast<float>(a);
  else
    return halved<S>(bit_cast<std::uint32_t>(round_to_odd(a)));
}

template <class S>
COSGRAD_INLINE double widened(S a) {
  if constexpr (sizeof(S) >= 4)
    return a;
  else if constexpr (__is_same(S, BFloat16))
    return bit_cast<float>(static_cast<std::uint32_t>(a.bits) << 16);
  else
    return float16_value<float>(static_cast<std::uint32_t>(a.bits));
}

}  // namespace cosgrad::inline COSGRAD_ISA
