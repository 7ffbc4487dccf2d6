// The error-free transformations are error-free. A compiler that contracts or reassociates fails here.
#include "check.hpp"
#include "kernel/doubledouble.hpp"

using namespace cosgrad;

namespace {

double spread(Random& random, int exponents) {
  return random.unit() * power_of_two(random.below(2 * exponents) - exponents);
}

void transformations(std::uint64_t seed) {
  Random random{seed};
  for (int i = 0; i < 200000; ++i) {
    const double a = spread(random, 40), b = spread(random, 40);
    const DD sum = two_sum(a, b), product = two_product(a, b);
    CHECK(Wide(sum.hi) + sum.lo == Wide(a) + b, "seed %d: two_sum(%a, %a)", int(seed), a, b);
    CHECK(sum.hi == a + b);
    CHECK(Wide(product.hi) + product.lo == Wide(a) * b, "seed %d: two_product(%a, %a)", int(seed), a, b);
    const auto lanes = two_product(broadcast(a), broadcast(b));
    for (int k = 0; k < kLanes; ++k) CHECK(get(lanes.hi, k) == product.hi && get(lanes.lo, k) == product.lo);
  }
}

Wide value(DD a) { return Wide(a.hi) + a.lo; }
Wide value(Scaled a) { return value(a.m) * Wide(times_power_of_two(1, a.e)); }
bool close(Wide a, Wide b) {
  const Wide error = a > b ? a - b : b - a, size = b < 0 ? -b : b;
  return error <= size * Wide(0x1p-100);
}

void double_double(std::uint64_t seed) {
  Random random{seed};
  for (int i = 0; i < 50000; ++i) {
    const DD a = two_sum(spread(random, 20), spread(random, 20) * 0x1p-53),
             b = two_sum(spread(random, 20), random.unit() * 0x1p-80);
    if (a.hi == 0 || b.hi == 0) continue;
    CHECK(close(value(a + b), value(a) + value(b)) || __builtin_fabs(a.hi + b.hi) < 0x1p-10 * __builtin_fabs(a.hi));
    CHECK(close(value(a * b), value(a) * value(b)));
    CHECK(close(value(a / b), value(a) / value(b)));
    CHECK((a * b).hi == (b * a).hi && (a * b).lo == (b * a).lo);
    const DD square = a * a;
    const DD root = sqrt(square);
    CHECK(close(value(root) * value(root), value(square)));
    const Scaled s = scaled(a), t = scaled(b);
    CHECK(close(value(s * t), value(a) * value(b)) && close(value(s / t), value(a) / value(b)));
    CHECK(close(value(sqrt(s * s)), a.hi < 0 ? -value(a) : value(a)));
  }
}

void rounding() {
  CHECK(rounded(Scaled{{1, 0}, -1074}) == 0x1p-1074);
  CHECK(rounded(Scaled{{1, 0}, -1075}) == 0, "a tie goes to even");
  CHECK(rounded(Scaled{{1, 0x1p-60}, -1075}) == 0x1p-1074, "just above the tie");
  CHECK(rounded(Scaled{{1.5, -0x1p-60}, -1074}) == 0x1p-1074, "just below the tie");
  CHECK(rounded(Scaled{{1.5, 0}, -1074}) == 0x1p-1073);
  // One bit is dropped; the bits below decide its tie.
  CHECK(rounded(Scaled{{1 + 0x1p-52, 0}, -1023}) == 0x1p-1023);
  CHECK(rounded(Scaled{{1 + 0x1p-52, 0x1p-80}, -1023}) == 0x1p-1023 + 0x1p-1074);
  CHECK(rounded(Scaled{{-1 - 0x1p-51 - 0x1p-52, 0x1p-80}, -1023}) == -0x1p-1023 - 0x1p-1074);
  CHECK(rounded(Scaled{{2 - 0x1p-52, 0x1p-54}, -1023}) == 0x1p-1022);
  CHECK(rounded(Scaled{{-1, 0}, -2000}) == 0 && rounded(Scaled{{1, 0}, 1024}) == __builtin_inf());
  CHECK(rounded(Scaled{{2 - 0x1p-52, 0}, 1023}) == __DBL_MAX__);
  for (int e = -1080; e < 1030; e += 7) CHECK(exponent(times_power_of_two(1.5, e)) == e || e > 1023 || e < -1073);
}

void storage(std::uint64_t seed) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Float16 half{static_cast<std::uint16_t>(bits)};
    const BFloat16 brain{static_cast<std::uint16_t>(bits)};
    if ((bits & 0x7c00) != 0x7c00) CHECK(rounded<Float16>(widened(half)).bits == bits, "%x", bits);
    if ((bits & 0x7f80) != 0x7f80) CHECK(rounded<BFloat16>(widened(brain)).bits == bits, "%x", bits);
    Float16 halves[kLanes];
    for (auto& h : halves) h = half;
    Float16 stored[kLanes];
    store(stored, load(halves));
    CHECK((bits & 0x7c00) == 0x7c00 || stored[5].bits == bits, "%x", bits);
    CHECK((bits & 0x7fff) <= 0x7c00 || widened(half) != widened(half), "%x is NaN", bits);
  }
  // The double is close to the midpoint of two halves. Rounding through float first would lose its side.
  CHECK(rounded<Float16>(1 + 0x1p-11 + 0x1p-40).bits == 0x3c01 &&
        rounded<Float16>(1 + 0x1p-11 - 0x1p-40).bits == 0x3c00);
  CHECK(rounded<BFloat16>(1 + 0x1p-8 + 0x1p-40).bits == 0x3f81 && rounded<BFloat16>(1 + 0x1p-8).bits == 0x3f80);
  CHECK(rounded<Float16>(65520.0).bits == 0x7c00 && rounded<Float16>(65519.9).bits == 0x7bff);
  Random random{seed};
  for (int i = 0; i < 100000; ++i) {
    const double a = spread(random, 20);
    Float16 stored[kLanes];
    store(stored, broadcast(static_cast<float>(a)));
    CHECK(stored[3].bits == rounded<Float16>(static_cast<float>(a)).bits, "seed %d: %a", int(seed), a);
  }
}

}  // namespace

int main() {
  transformations(1);
  double_double(2);
  rounding();
  storage(3);
}
