// A check that prints the failure and ends the test, and seeded random numbers.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

inline void say() {}
template <class... T>
void say(const char* format, T... values) {
  if constexpr (sizeof...(T) == 0)
    std::fputs(format, stderr);
  else
    std::fprintf(stderr, format, values...);
  std::fputc('\n', stderr);
}

#define CHECK(condition, ...)                                              \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      say(__VA_ARGS__);                                                    \
      std::exit(1);                                                        \
    }                                                                      \
  } while (false)

// SplitMix64.
struct Random {
  std::uint64_t state;
  std::uint64_t bits() {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  double unit() { return static_cast<double>(bits() >> 11) * 0x1p-52 - 1; }  // [-1, 1)
  int below(int n) { return static_cast<int>(bits() % static_cast<std::uint64_t>(n)); }
};

// Double-double results are compared with arithmetic of at least 113 bits.
#if defined(__SIZEOF_FLOAT128__)
using Wide = __float128;
#else
using Wide = long double;
#endif
