// Every kernel of every instruction set, on rows in buffers of exact size, compared with sums of 113 bits.
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "check.hpp"
#include "data.hpp"
#include "driver/dispatch.hpp"
#include "driver/environment.hpp"

using namespace cosgrad;

namespace {

struct Results {
  std::vector<char> similarity, distance, gx, gy, j, unit, sum;
  bool operator==(const Results&) const = default;
};

struct Inputs {
  int dtype;
  std::int64_t rows, n;
  double eps;
  std::vector<char> x, y, g;
};

Results run(const Kernels& k, const Inputs& in) {
  const std::int64_t item = kItemSize[in.dtype], row = in.n * item;
  const auto size = [](std::int64_t bytes) { return std::vector<char>(static_cast<std::size_t>(bytes)); };
  Results r{size(in.rows * item),
            size(in.rows * item),
            size(in.rows * row),
            size(in.rows * row),
            size(in.rows * item),
            size(in.rows * row),
            size(in.n * kSumSize[in.dtype])};
  const Rows x{in.x.data(), row}, y{in.y.data(), row}, g{in.g.data(), item};
  const FloatEnvironment environment;
  k.forward[in.dtype]({in.rows, in.n, in.eps, x, y, {r.similarity.data(), item}, {r.distance.data(), item}});
  k.backward[in.dtype]({in.rows, in.n, in.eps, false, false, x, y, g, {r.gx.data(), row}, {r.gy.data(), row}});
  k.jvp[in.dtype]({in.rows, in.n, in.eps, false, x, y, y, x, {r.j.data(), item}});
  k.normalize[in.dtype]({in.rows, in.n, in.eps, x, {}, {r.unit.data(), row}});
  BackwardTile onto{in.rows, in.n, in.eps, false, false, x, y, g, {}, {}};
  onto.sum_x = r.sum.data();
  k.backward[in.dtype](onto);
  return r;
}

Inputs inputs(int dtype, std::int64_t rows, std::int64_t n, double eps, double near, double scale, std::uint64_t seed) {
  const std::int64_t item = kItemSize[dtype];
  Inputs in{dtype, rows, n, eps, {}, {}, {}};
  in.x.resize(static_cast<std::size_t>(rows * n * item));
  in.y.resize(in.x.size());
  in.g.resize(static_cast<std::size_t>(rows * item));
  Random random{seed};
  for (std::int64_t i = 0; i < rows * n; ++i) {
    const double a = random.unit() * scale;
    put(in.x.data() + i * item, dtype, a);
    put(in.y.data() + i * item, dtype, near > 0 ? a + near * random.unit() * scale : random.unit() * scale);
  }
  for (std::int64_t i = 0; i < rows; ++i) put(in.g.data() + i * item, dtype, random.unit());
  return in;
}

void check_values(const Inputs& in, const Results& r) {
  const std::int64_t item = kItemSize[in.dtype];
  const double ulp[] = {0x1p-11, 0x1p-8, 0x1p-24, 0x1p-53}, least[] = {0x1p-25, 0x1p-134, 0x1p-150, 0};
  for (std::int64_t i = 0; i < in.rows; ++i) {
    Wide p = 0, q = 0, d = 0;
    for (std::int64_t k = 0; k < in.n; ++k) {
      const Wide a = get(in.x.data() + (i * in.n + k) * item, in.dtype),
                 b = get(in.y.data() + (i * in.n + k) * item, in.dtype);
      p += a * a;
      q += b * b;
      d += a * b;
    }
    const double s = get(r.similarity.data() + i * item, in.dtype), D = get(r.distance.data() + i * item, in.dtype);
    if (p == 0 || q == 0) {
      CHECK(s == 0 && D == 1);
      continue;
    }
    // Squares are compared, so no square root of 113 bits is needed: (|s| (1 +- u) +- least)^2 brackets the true
    // square.
    const Wide u = 1.05 * ulp[in.dtype], floor = least[in.dtype] + (in.dtype == 3 ? 0x1p-95 : 0x1p-49);
    const auto brackets = [&](double got, Wide square, Wide absolute) {
      const Wide m = got < 0 ? -got : got, above = m * (1 + u) + absolute, below = m * (1 - u) - absolute;
      return above * above >= square && (below < 0 || below * below <= square);
    };
    CHECK(brackets(s, d * d / (p * q), floor), "dtype %d n %d row %d: similarity %a", in.dtype, int(in.n), int(i), s);
    CHECK((d < 0) == (s < 0) || s == 0);
    if (d > 0) {
      // D (2 - D) = 1 - S^2 = (p q - d^2) / (p q)
      const Wide sine = (p * q - d * d) / (p * q), f = least[in.dtype] + Wide(0x1p-90);
      const Wide above = D * (1 + u) + f, below = D * (1 - u) - f;
      CHECK(above * (2 - above) >= sine && below * (2 - below) <= sine, "dtype %d n %d row %d: distance %a", in.dtype,
            int(in.n), int(i), D);
    } else {
      CHECK(D >= 1 && D <= 2);
    }
  }
}

}  // namespace

int main() {
  const auto all = tables();
  std::uint64_t seed = 1;
  for (int dtype = 0; dtype < kDTypes; ++dtype)
    for (const std::int64_t n : {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 100, 768})
      for (const double near : {0.0, 1e-1, 1e-3, 1e-6})
        for (const double eps : {0.0, 1e-3, 3.0})
          for (const double scale : {1.0, 1e-30, 1e-200, 1e200}) {
            if (dtype != 3 && scale < 1e-100) continue;
            if (dtype != 3 && scale > 1e100) continue;
            const Inputs in = inputs(dtype, 5, n, eps, near, scale, ++seed);
            const Results first = run(*all[0], in);
            if (eps == 0 && scale == 1.0) check_values(in, first);
            for (const Kernels* k : all)
              CHECK(run(*k, in) == first, "%s differs from baseline: dtype %d n %d near %g eps %g scale %g", k->name,
                    dtype, int(n), near, eps, scale);
          }
}
