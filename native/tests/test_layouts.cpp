// The driver with any strides, axis, broadcasting and threads. A result from a view has the bits of the result from a
// contiguous copy. The gradient of a broadcast operand is the sum of its rows' gradients.
#include <cmath>
#include <numeric>
#include <vector>

#include "check.hpp"
#include "driver/dispatch.hpp"
#include "driver/driver.hpp"

using namespace cosgrad;

namespace {

struct Array {
  std::vector<float> data;
  View view;

  // `order` lists the axes by their place in memory, outermost first; `shape` is in the usual order.
  Array(std::vector<std::int64_t> shape, std::vector<int> order, std::uint64_t seed) {
    view.rank = static_cast<int>(shape.size());
    std::int64_t step = 4;
    for (int i = view.rank - 1; i >= 0; --i) {
      view.stride[order[static_cast<std::size_t>(i)]] = step;
      step *= shape[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])];
    }
    std::copy(shape.begin(), shape.end(), view.shape);
    data.resize(static_cast<std::size_t>(step / 4));
    Random random{seed};
    for (auto& value : data) value = static_cast<float>(random.unit());
    view.data = reinterpret_cast<char*>(data.data());
  }
  float at(std::initializer_list<std::int64_t> index) const {
    std::int64_t offset = 0;
    int i = 0;
    for (const auto k : index) offset += k * view.stride[i++];
    float value;
    std::memcpy(&value, view.data + offset, 4);
    return value;
  }
};

void same_bits_in_every_layout(int axis, Threads threads) {
  const std::vector<std::int64_t> shape{5, 67, 9};
  const Call call{2, axis, 0, threads};
  Array x(shape, {0, 1, 2}, 1), y(shape, {0, 1, 2}, 2);
  std::vector<std::int64_t> batch = shape;
  batch.erase(batch.begin() + axis);
  const auto count = static_cast<std::size_t>(batch[0] * batch[1]);
  Array g(batch, {0, 1}, 3), gx(shape, {0, 1, 2}, 4), gy(shape, {0, 1, 2}, 5);
  std::vector<float> s(count), d(count);
  forward(call, x.view, y.view, reinterpret_cast<char*>(s.data()), reinterpret_cast<char*>(d.data()));
  backward(call, x.view, y.view, g.view, gx.view, gy.view, false, false);

  for (const std::vector<int>& order : {std::vector{2, 1, 0}, std::vector{1, 0, 2}, std::vector{2, 0, 1}}) {
    Array u(shape, order, 6), v(shape, {1, 2, 0}, 7), gu(shape, order, 8), gv(shape, {2, 1, 0}, 9);
    for (std::int64_t i = 0; i < shape[0]; ++i)
      for (std::int64_t j = 0; j < shape[1]; ++j)
        for (std::int64_t k = 0; k < shape[2]; ++k) {
          const float a = x.at({i, j, k}), b = y.at({i, j, k});
          std::memcpy(u.view.data + i * u.view.stride[0] + j * u.view.stride[1] + k * u.view.stride[2], &a, 4);
          std::memcpy(v.view.data + i * v.view.stride[0] + j * v.view.stride[1] + k * v.view.stride[2], &b, 4);
        }
    std::vector<float> t(count), e(count);
    forward(call, u.view, v.view, reinterpret_cast<char*>(t.data()), reinterpret_cast<char*>(e.data()));
    CHECK(s == t && d == e, "axis %d", axis);
    backward(call, u.view, v.view, g.view, gu.view, gv.view, false, false);
    for (std::int64_t i = 0; i < shape[0]; ++i)
      for (std::int64_t j = 0; j < shape[1]; ++j)
        for (std::int64_t k = 0; k < shape[2]; ++k)
          CHECK(gx.at({i, j, k}) == gu.at({i, j, k}) && gy.at({i, j, k}) == gv.at({i, j, k}), "axis %d", axis);
  }
}

// x (rows, 1, n), y (1, columns, n)
void broadcast_gradients(std::int64_t rows, std::int64_t columns, std::int64_t n, Threads threads) {
  const Call call{2, 2, 0, threads};
  Array x({rows, 1, n}, {0, 1, 2}, 11), y({1, columns, n}, {0, 1, 2}, 12), g({rows, columns}, {0, 1}, 13);
  Array gx({rows, 1, n}, {0, 1, 2}, 14), gy({1, columns, n}, {0, 1, 2}, 15);
  backward(call, x.view, y.view, g.view, gx.view, gy.view, false, false);
  std::vector<double> sum(x.data.size());
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) {
      Array a({1, n}, {0, 1}, 16), b({1, n}, {0, 1}, 17), c({1}, {0}, 18), ga({1, n}, {0, 1}, 19);
      std::copy_n(x.data.begin() + i * n, n, a.data.begin());
      std::copy_n(y.data.begin() + j * n, n, b.data.begin());
      c.data[0] = g.at({i, j});
      backward({2, 1, 0, {nullptr}}, a.view, b.view, c.view, ga.view, {}, false, false);
      for (std::int64_t k = 0; k < n; ++k)
        sum[static_cast<std::size_t>(i * n + k)] += ga.data[static_cast<std::size_t>(k)];
    }
  for (std::size_t k = 0; k < sum.size(); ++k)
    CHECK(std::fabs(sum[k] - gx.data[k]) <= 1e-6 * static_cast<double>(columns), "%g for %g",
          static_cast<double>(gx.data[k]), sum[k]);

  const std::vector<float> serial_x = gx.data, serial_y = gy.data;
  backward({2, 2, 0, {nullptr}}, x.view, y.view, g.view, gx.view, gy.view, false, false);
  CHECK(serial_x == gx.data && serial_y == gy.data, "the threads changed a bit");
}

}  // namespace

int main() {
  setenv("COSGRAD_NUM_THREADS", "2", 1);
  for (const Threads threads : {Threads{}, Threads{nullptr}}) {
    for (int axis = 0; axis < 3; ++axis) same_bits_in_every_layout(axis, threads);
    broadcast_gradients(3, 40, 17, threads);
    broadcast_gradients(1, 4000, 256, threads);
    broadcast_gradients(70, 2, 1, threads);
    broadcast_gradients(300, 70, 25, threads);
    broadcast_gradients(5, 1100, 30, threads);
    broadcast_gradients(0, 3, 5, threads);
    broadcast_gradients(3, 0, 5, threads);
  }
}
