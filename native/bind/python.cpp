// The Python module. It takes raw addresses, shapes and strides, so one binding serves every array library of Python.
#include <nanobind/nanobind.h>

#include <cstring>

#include "bind/xla.hpp"
#include "driver/dispatch.hpp"
#include "driver/driver.hpp"
#include "driver/environment.hpp"

namespace nb = nanobind;
using cosgrad::View;

namespace {

using Address = std::uintptr_t;

int read_ints(nb::handle ints, std::int64_t* out, std::int64_t unit) {
  PyObject* tuple = ints.ptr();
  if (!PyTuple_Check(tuple)) throw nb::type_error("shapes and strides are tuples");
  const Py_ssize_t count = PyTuple_GET_SIZE(tuple);
  if (count > cosgrad::kMaxRank) throw nb::value_error("arrays of more than 64 axes are not supported");
  for (Py_ssize_t i = 0; i < count; ++i) {
    const long long value = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple, i));
    if (value == -1 && PyErr_Occurred()) throw nb::python_error();
    out[i] = value * unit;
  }
  return static_cast<int>(count);
}

void read_strides(View& view, nb::handle strides, std::int64_t unit) {
  if (read_ints(strides, view.stride, unit) != view.rank) throw nb::value_error("as many strides as axes are needed");
}

void read_view(View& view, Address data, nb::handle shape, nb::handle strides, std::int64_t unit) {
  view.data = reinterpret_cast<char*>(data);
  view.rank = read_ints(shape, view.shape, 1);
  read_strides(view, strides, unit);
}

// Read an array that has the shape of another and strides of its own.
void read_like(View& view, Address data, const View& like, nb::handle strides, std::int64_t unit) {
  if (!data) return;
  view.data = reinterpret_cast<char*>(data);
  view.rank = like.rank;
  std::memcpy(view.shape, like.shape, sizeof view.shape);
  read_strides(view, strides, unit);
}

void read_batch(View& view, Address data, nb::handle strides, std::int64_t unit) {
  view.data = reinterpret_cast<char*>(data);
  view.rank = read_ints(strides, view.stride, unit);
}

cosgrad::Call call(int dtype, int axis, double eps, Address pool) {
  if (dtype < 0 || dtype >= cosgrad::kDTypes) throw nb::value_error("dtype is not an index into dtypes");
  const auto threads = pool == 0 ? cosgrad::split : pool == 1 ? nullptr : reinterpret_cast<cosgrad::Pool>(pool);
  return {dtype, axis, eps, {threads}};
}

bool is_small(const View& x, const View& y) {
  std::int64_t a = 1, b = 1;
  for (int i = 0; i < x.rank; ++i) a *= x.shape[i];
  for (int i = 0; i < y.rank; ++i) b *= y.shape[i];
  return a + b < 4096;
}

// A small call is faster if it does not release the interpreter's lock.
template <class F>
void without_interpreter(const View& x, const View& y, F work) {
  if (is_small(x, y)) return work();
  const nb::gil_scoped_release released;
  work();
}

void forward(int dtype, std::int64_t unit, int axis, double eps, Address x, nb::handle x_shape, nb::handle x_strides,
             Address y, nb::handle y_shape, nb::handle y_strides, Address similarity, Address distance, Address pool) {
  View a, b;
  read_view(a, x, x_shape, x_strides, unit);
  read_view(b, y, y_shape, y_strides, unit);
  without_interpreter(a, b, [&] {
    cosgrad::forward(call(dtype, axis, eps, pool), a, b, reinterpret_cast<char*>(similarity),
                     reinterpret_cast<char*>(distance));
  });
}

void backward(int dtype, std::int64_t unit, int axis, double eps, Address x, nb::handle x_shape, nb::handle x_strides,
              Address y, nb::handle y_shape, nb::handle y_strides, Address grad, nb::handle grad_strides,
              Address grad_x, nb::handle grad_x_strides, Address grad_y, nb::handle grad_y_strides, bool negate,
              bool skip_zero, Address pool) {
  View a, b, g, ga, gb;
  read_view(a, x, x_shape, x_strides, unit);
  read_view(b, y, y_shape, y_strides, unit);
  read_batch(g, grad, grad_strides, unit);
  read_like(ga, grad_x, a, grad_x_strides, unit);
  read_like(gb, grad_y, b, grad_y_strides, unit);
  without_interpreter(a, b,
                      [&] { cosgrad::backward(call(dtype, axis, eps, pool), a, b, g, ga, gb, negate, skip_zero); });
}

void jvp(int dtype, std::int64_t unit, int axis, double eps, Address x, nb::handle x_shape, nb::handle x_strides,
         Address y, nb::handle y_shape, nb::handle y_strides, Address dx, nb::handle dx_strides, Address dy,
         nb::handle dy_strides, Address out, bool negate, Address pool) {
  View a, b, u, v;
  read_view(a, x, x_shape, x_strides, unit);
  read_view(b, y, y_shape, y_strides, unit);
  read_like(u, dx, a, dx_strides, unit);
  read_like(v, dy, b, dy_strides, unit);
  without_interpreter(
      a, b, [&] { cosgrad::jvp(call(dtype, axis, eps, pool), a, b, u, v, reinterpret_cast<char*>(out), negate); });
}

void normalize_with(int dtype, std::int64_t unit, int axis, double eps, const View& a, Address grad,
                    nb::handle grad_strides, Address out, nb::handle out_strides, Address pool) {
  View g, o;
  read_like(g, grad, a, grad_strides, unit);
  read_like(o, out, a, out_strides, unit);
  without_interpreter(a, a, [&] { cosgrad::normalize(call(dtype, axis, eps, pool), a, g, o); });
}

void normalize(int dtype, std::int64_t unit, int axis, double eps, Address x, nb::handle shape, nb::handle strides,
               Address out, nb::handle out_strides, Address pool) {
  View a;
  read_view(a, x, shape, strides, unit);
  normalize_with(dtype, unit, axis, eps, a, 0, nb::handle(), out, out_strides, pool);
}

void normalize_backward(int dtype, std::int64_t unit, int axis, double eps, Address x, nb::handle shape,
                        nb::handle strides, Address grad, nb::handle grad_strides, Address out, nb::handle out_strides,
                        Address pool) {
  View a;
  read_view(a, x, shape, strides, unit);
  normalize_with(dtype, unit, axis, eps, a, grad, grad_strides, out, out_strides, pool);
}

}  // namespace

NB_MODULE(_native, m) {
  m.attr("dtypes") = nb::make_tuple("float16", "bfloat16", "float32", "float64");
  m.attr("isa") = cosgrad::kernels().name;
  nb::list names;
  for (auto name = cosgrad::instruction_sets(); *name; ++name) names.append(*name);
  m.attr("isas") = nb::tuple(names);
  nb::dict handlers;
  for (auto handler = cosgrad::xla_handlers; handler->name; ++handler)
    handlers[handler->name] = nb::capsule(handler->function);
  m.attr("xla_handlers") = handlers;
  m.attr("xla_interface") = nb::make_tuple(cosgrad::xla_interface[0], cosgrad::xla_interface[1]);
  m.def("enter_environment", cosgrad::enter_environment);
  m.def("leave_environment", cosgrad::leave_environment);
  m.def("forward", forward);
  m.def("backward", backward);
  m.def("jvp", jvp);
  m.def("normalize", normalize);
  m.def("normalize_backward", normalize_backward);
}
