// The same bits on every machine: a hash of values and gradients, in all four types and at all angles. The constants
// were computed on x86-64 with AVX-512. A change of a constant is a change of results for users.
#include <cmath>
#include <vector>

#include "check.hpp"
#include "data.hpp"
#include "driver/dispatch.hpp"
#include "driver/driver.hpp"

using namespace cosgrad;

namespace {

constexpr std::int64_t kRows = 64, kLength = 203;

struct Array {
  std::vector<char> data;
  View view;

  Array(int dtype, int rank, std::int64_t length) : data(static_cast<std::size_t>(kRows * length * kItemSize[dtype])) {
    view.rank = rank;
    view.shape[0] = kRows;
    view.shape[1] = length;
    view.stride[0] = length * kItemSize[dtype];
    view.stride[1] = kItemSize[dtype];
    view.data = data.data();
  }
};

void hash(std::uint64_t& state, const Array& array) {
  for (const char byte : array.data) state = (state ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
}

std::uint64_t bits_of(int dtype) {
  Random random{20261121};
  Array x(dtype, 2, kLength), y(dtype, 2, kLength), gx(dtype, 2, kLength), gy(dtype, 2, kLength);
  Array s(dtype, 1, 1), d(dtype, 1, 1), g(dtype, 1, 1);
  for (std::int64_t i = 0; i < kRows; ++i) {
    const double apart = std::ldexp(1.0, -static_cast<int>(i));  // from any angle to equal vectors
    put(g.view.data + i * kItemSize[dtype], dtype, random.unit());
    for (std::int64_t j = 0; j < kLength; ++j) {
      const double a = random.unit(), b = a + apart * random.unit();
      put(x.view.data + (i * kLength + j) * kItemSize[dtype], dtype, a);
      put(y.view.data + (i * kLength + j) * kItemSize[dtype], dtype, b);
    }
  }
  const Call call{dtype, 1, 0, {}};
  std::uint64_t state = 0xcbf29ce484222325;
  forward(call, x.view, y.view, s.data.data(), d.data.data());
  backward(call, x.view, y.view, g.view, gx.view, gy.view, true, false);
  for (const Array* array : {&s, &d, &gx, &gy}) hash(state, *array);
  normalize(call, x.view, View{}, gx.view);
  hash(state, gx);
  return state;
}

}  // namespace

int main() {
  const std::uint64_t want[] = {0x5ca59df45003c7b5, 0x167e56c42d81d70a, 0x434704c5a1d93427, 0xc5eb7fc3d7a22b62};
  for (int dtype = 0; dtype < 4; ++dtype)
    CHECK(bits_of(dtype) == want[dtype], "type %d: 0x%016llx", dtype, static_cast<unsigned long long>(bits_of(dtype)));
}
