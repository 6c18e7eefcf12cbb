# The PTX engine of the software device.
add_library(farlane_ptx STATIC
  ptx_types.cc ptx_lexer.cc ptx_parser.cc ptx_link.cc ptx_decode.cc
  exec_warp.cc exec_block.cc exec_pool.cc exec_control.cc exec_call.cc exec_builtin.cc
  exec_printf.cc exec_memory.cc exec_atomic.cc exec_barrier.cc exec_collective.cc exec_move.cc
  exec_integer.cc exec_bits.cc exec_float.cc exec_half.cc exec_half_format.cc exec_compare.cc
  exec_convert.cc engine.cc)
target_link_libraries(farlane_ptx PRIVATE farlane_options PUBLIC Threads::Threads)
# Results must be what IEEE says: nothing contracted into an fma, nothing moved across a change of
# the rounding mode. Registers are typed only by the instruction that reads them.
target_compile_options(farlane_ptx PRIVATE
  -ffp-contract=off -frounding-math -fno-strict-aliasing -O3)
set_target_properties(farlane_ptx PROPERTIES POSITION_INDEPENDENT_CODE ON)
