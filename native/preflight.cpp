// A program of the features that the sources need beyond C++20: a compiler that refuses it cannot build cosgrad.
// GCC 12 was the first GCC with __builtin_shufflevector.
#include <concepts>
#include <span>

using Words = int __attribute__((vector_size(16)));
using Halves = short __attribute__((vector_size(8)));

template <int... k>
Words swapped(const Words& a, const Words& b) {
  return __builtin_shufflevector(a, b, (k ^ 1)...);
}

int main() {
  const Words a = {1, 2, 3, 4};
  const Words b = swapped<0, 1, 2, 3>(a, a);
  const Halves c = __builtin_convertvector(b, Halves);
  return c[0] - 2;
}
