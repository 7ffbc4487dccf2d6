#include "driver/dispatch.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace cosgrad {
namespace {

struct Available {
  const Kernels* tables[3] = {};
  const char* names[4] = {};
  int count = 0;

  Available() {
    add(kBaseline);
#if defined(COSGRAD_X86)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (avx2) add(kAvx2);
    if (avx512) add(kAvx512);
#endif
  }
  void add(const Kernels& table) {
    tables[count] = &table;
    names[count++] = table.name;
  }
};

const Available& available() {
  static const Available all;
  return all;
}

const Kernels& choose() {
  const Available& all = available();
  const char* wanted = std::getenv("COSGRAD_ISA");
  if (!wanted || !*wanted) return *all.tables[all.count - 1];
  std::string names;
  for (int i = 0; i < all.count; ++i) {
    if (std::strcmp(wanted, all.names[i]) == 0) return *all.tables[i];
    names += (i ? ", " : "") + std::string(all.names[i]);
  }
  throw std::invalid_argument("COSGRAD_ISA=" + std::string(wanted) +
                              " is not an instruction set of this machine: " + "it has " + names);
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

const char* const* instruction_sets() { return available().names; }

}  // namespace cosgrad
