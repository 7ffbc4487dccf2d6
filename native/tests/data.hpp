// The instruction sets of this machine, and conversions of the four types to and from memory.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "driver/dispatch.hpp"

namespace cosgrad {

inline std::vector<const Kernels*> tables() {
  std::vector<const Kernels*> all{&kBaseline};
#if defined(COSGRAD_X86)
  for (auto name = instruction_sets(); *name; ++name) {
    if (std::string(*name) == "avx2") all.push_back(&kAvx2);
    if (std::string(*name) == "avx512") all.push_back(&kAvx512);
  }
#endif
  return all;
}

// 16-bit types keep the sign and the mantissa; the exponent is near that of 1.
inline void put(char* to, int dtype, double value) {
  const auto f = static_cast<float>(value);
  std::uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const auto brain = static_cast<std::uint16_t>(bits >> 16);
  const auto half = static_cast<std::uint16_t>(0x3000 + (bits >> 12) % 0x1000 + (bits >> 31) * 0x8000);
  std::memcpy(to,
              dtype == 0   ? static_cast<const void*>(&half)
              : dtype == 1 ? &brain
              : dtype == 2 ? static_cast<const void*>(&f)
                           : &value,
              static_cast<std::size_t>(kItemSize[dtype]));
}

inline double get(const char* from, int dtype) {
  if (dtype == 3) {
    double d;
    std::memcpy(&d, from, 8);
    return d;
  }
  if (dtype == 2) {
    float f;
    std::memcpy(&f, from, 4);
    return f;
  }
  std::uint16_t bits;
  std::memcpy(&bits, from, 2);
  if (dtype == 1) {
    const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
    float f;
    std::memcpy(&f, &wide, 4);
    return f;
  }
  const double m = std::ldexp((bits & 0x3ff) + (bits & 0x7c00 ? 1024 : 0), std::max((bits >> 10 & 31), 1) - 25);
  return bits & 0x8000 ? -m : m;
}

}  // namespace cosgrad
