# Fail where the objects of an instruction set define a weak symbol outside its own namespace. The linker keeps one copy of
# a weak symbol: code compiled for AVX-512 would then run on a processor that lacks it. Symbols that start with an
# underscore, or with DW.ref., belong to the compiler and its sanitizers.
#   cmake -D NM=nm -D ISA=avx2 -D OBJECTS=a.o;b.o -P symbols.cmake
foreach(object IN LISTS OBJECTS)
  execute_process(COMMAND "${NM}" --demangle --defined-only "${object}" OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REPLACE ";" ":" symbols "${symbols}")
  string(REPLACE "\n" ";" symbols "${symbols}")
  set(table FALSE)
  foreach(symbol IN LISTS symbols)
    if(symbol MATCHES " [VWuvw] [^_]" AND NOT symbol MATCHES " DW.ref." AND NOT symbol MATCHES "cosgrad::${ISA}::")
      message(SEND_ERROR "${object}: shared with other instruction sets: ${symbol}")
    elseif(symbol MATCHES "cosgrad::kAvx|cosgrad::kBaseline")
      set(table TRUE)
    endif()
  endforeach()
  if(NOT table)
    message(SEND_ERROR "${object} defines no table of kernels: nothing was checked")
  endif()
endforeach()
