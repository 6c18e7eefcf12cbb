# The PTX engine of the software device.
add_library(farlane_ptx STATIC
  ptx_types.cc ptx_lexer.cc ptx_parser.cc ptx_link.cc ptx_decode.cc
  exec_warp.cc exec_block.cc exec_pool.cc exec_control.cc exec_call.cc exec_builtin.cc
  exec_printf.cc exec_memory.cc exec_atomic.cc exec_barrier.cc exec_collective.cc exec_move.cc
  exec_integer.cc exec_bits.cc exec_float.cc exec_half.cc exec_half_format.cc exec_compare.cc
  exec_convert.cc exec_mbarrier.cc engine.cc)
target_link_libraries(farlane_ptx PRIVATE farlane_options PUBLIC Threads::Threads)
# Results must be what IEEE says: nothing contracted into an fma, nothing moved across a change of
# the rounding mode. Registers are typed only by the instruction that reads them.
target_compile_options(farlane_ptx PRIVATE
  -ffp-contract=off -frounding-math -fno-strict-aliasing -O3)
set_target_properties(farlane_ptx PROPERTIES POSITION_INDEPENDENT_CODE ON)

if(FARLANE_TESTS)
  find_package(GTest REQUIRED)
  # Kernels as nvcc compiles them, for three generations.
  set(ptx_kernels)
  foreach(arch 75 80 90)
    set(out ${CMAKE_CURRENT_BINARY_DIR}/engine_test_kernels.${arch}.ptx)
    add_custom_command(OUTPUT ${out}
      COMMAND ${FARLANE_NVCC} -ptx -O3 -std=c++17 -arch=compute_${arch}
              ${CMAKE_CURRENT_SOURCE_DIR}/engine_test_kernels.cu -o ${out}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/engine_test_kernels.cu
      COMMENT "PTX of the engine's test kernels for compute_${arch}")
    list(APPEND ptx_kernels ${out})
  endforeach()
  # Two texts that need each other, as -rdc=true makes them.
  foreach(part 1 2)
    set(out ${CMAKE_CURRENT_BINARY_DIR}/engine_test_linked.${part}.ptx)
    add_custom_command(OUTPUT ${out}
      COMMAND ${FARLANE_NVCC} -ptx -O3 -std=c++17 -rdc=true -arch=compute_80 -DPART=${part}
              ${CMAKE_CURRENT_SOURCE_DIR}/engine_test_linked.cu -o ${out}
      DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/engine_test_linked.cu
      COMMENT "PTX of the engine's linking test, part ${part}")
    list(APPEND ptx_kernels ${out})
  endforeach()
  add_custom_target(farlane_ptx_test_kernels DEPENDS ${ptx_kernels})

  add_executable(farlane_ptx_test
    engine_test.cc exec_integer_test.cc exec_float_test.cc exec_warp_test.cc exec_memory_test.cc
    ptx_parser_test.cc)
  add_dependencies(farlane_ptx_test farlane_ptx_test_kernels)
  target_link_libraries(farlane_ptx_test PRIVATE farlane_options farlane_ptx GTest::gtest_main)
  target_compile_definitions(farlane_ptx_test PRIVATE
    FARLANE_PTX_TEST_KERNELS="${CMAKE_CURRENT_BINARY_DIR}")
  # Expected values are computed by the host: by IEEE, too.
  target_compile_options(farlane_ptx_test PRIVATE -ffp-contract=off)
  include(GoogleTest)
  gtest_discover_tests(farlane_ptx_test DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 120)
endif()
