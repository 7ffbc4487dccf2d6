// The choice of an instruction set.
#pragma once

#include "kernel/table.hpp"

namespace cosgrad {

// Returns the table of the best instruction set of this processor, or of the one that COSGRAD_ISA names. Throws
// std::invalid_argument if COSGRAD_ISA names a set that this processor cannot run.
const Kernels& kernels();

// Returns the names of the instruction sets that this processor can run, the best last, then nullptr.
const char* const* instruction_sets();

}  // namespace cosgrad
