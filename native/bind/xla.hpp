// XLA's foreign functions and the names under which JAX registers them.
#pragma once

namespace cosgrad {

struct XlaHandler {
  const char* name;
  void* function;
};

// The version of XLA's interface that the handlers were compiled for. XLA refuses them if its own version is older.
extern const int xla_interface[2];

extern const XlaHandler xla_handlers[];  // ends with a null name

}  // namespace cosgrad
