# libsoftcuda.so: the driver functions the worker uses, on top of the PTX engine.
set(softcuda_driver_sources
  driver_api_context.cc driver_api_copy.cc driver_api_capture.cc driver_api_device.cc driver_api_error.cc driver_api_graph.cc
  driver_api_graph_nodes.cc
  driver_api_launch.cc driver_api_library.cc driver_api_memory.cc driver_api_module.cc
  driver_api_pool.cc driver_api_proc.cc driver_api_stream.cc driver_api_virtual.cc
  driver_context.cc driver_copy.cc driver_device.cc driver_graph.cc driver_launch.cc driver_memory.cc
  driver_memory_host.cc driver_memory_virtual.cc driver_module.cc driver_scheduler.cc driver_shared_event.cc
  driver_stream.cc image_select.cc)

add_library(softcuda SHARED ${softcuda_driver_sources})
target_link_libraries(softcuda PRIVATE
  farlane_options farlane_cuda_headers farlane_codec farlane_ptx Threads::Threads)
# C callers pass any number where the header has an enumeration; it is checked here like any other.
target_compile_options(softcuda PRIVATE -fno-sanitize=enum)
target_link_options(softcuda PRIVATE
  -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/driver.map
  -Wl,--exclude-libs,ALL
  -Wl,-z,nodelete)  # executor threads run in it until the process ends
if(NOT FARLANE_SANITIZER)
  target_link_options(softcuda PRIVATE -Wl,-z,defs)
endif()
set_target_properties(softcuda PROPERTIES
  CXX_VISIBILITY_PRESET default  # driver.map decides what is visible
  LIBRARY_OUTPUT_DIRECTORY ${FARLANE_LIBRARY_DIR}
  LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/driver.map)

if(FARLANE_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
  set(testdata ${CMAKE_CURRENT_SOURCE_DIR}/driver_testdata)
  set(images ${CMAKE_CURRENT_BINARY_DIR}/driver_testdata)
  file(MAKE_DIRECTORY ${images})
  set(softcuda_images)
  function(softcuda_image output source)
    add_custom_command(OUTPUT ${images}/${output}
      COMMAND ${FARLANE_NVCC} ${ARGN} ${testdata}/${source} -o ${images}/${output}
      DEPENDS ${testdata}/${source} VERBATIM)
    set(softcuda_images ${softcuda_images} ${images}/${output} PARENT_SCOPE)
  endfunction()
  set(both -gencode arch=compute_75,code=compute_75 -gencode arch=compute_90,code=[sm_90,compute_90])
  softcuda_image(kernels.ptx kernels.cu --ptx -arch=compute_90)
  softcuda_image(default.fatbin kernels.cu --fatbin ${both})
  softcuda_image(plain.fatbin kernels.cu --fatbin -no-compress ${both})
  softcuda_image(all.fatbin kernels.cu --fatbin -Xfatbin -compress-all ${both})
  softcuda_image(speed.fatbin kernels.cu --fatbin --compress-mode=speed ${both})
  softcuda_image(size.fatbin kernels.cu --fatbin --compress-mode=size ${both})
  softcuda_image(balance.fatbin kernels.cu --fatbin --compress-mode=balance ${both})
  softcuda_image(sass.fatbin kernels.cu --fatbin -gencode arch=compute_90,code=sm_90)
  foreach(part one two)
    softcuda_image(part_${part}.fatbin part_${part}.cu --fatbin -rdc=true
      -gencode arch=compute_90,code=compute_90)
  endforeach()
  add_custom_target(softcuda_test_images DEPENDS ${softcuda_images})

  add_executable(softcuda_driver_test
    driver_copy_test.cc driver_device_test.cc driver_graph_test.cc driver_memory_test.cc
    driver_module_test.cc
    driver_stream_test.cc)
  add_dependencies(softcuda_driver_test softcuda_test_images)
  target_compile_definitions(softcuda_driver_test PRIVATE FARLANE_SOFTCUDA_TESTDATA="${images}")
  target_link_libraries(softcuda_driver_test PRIVATE
    softcuda farlane_options farlane_cuda_headers GTest::gtest_main Threads::Threads)
  gtest_discover_tests(softcuda_driver_test DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 120)

  add_executable(softcuda_devices_test driver_devices_test.cc)
  target_link_libraries(softcuda_devices_test PRIVATE
    softcuda farlane_options farlane_cuda_headers GTest::gtest_main Threads::Threads)
  gtest_discover_tests(softcuda_devices_test DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 120)

  # Not visible in the library, so compiled in.
  add_executable(softcuda_image_test driver_image_test.cc image_select.cc)
  add_dependencies(softcuda_image_test softcuda_test_images)
  target_compile_definitions(softcuda_image_test PRIVATE FARLANE_SOFTCUDA_TESTDATA="${images}")
  target_link_libraries(softcuda_image_test PRIVATE
    farlane_codec farlane_options farlane_cuda_headers GTest::gtest_main)
  gtest_discover_tests(softcuda_image_test DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 120)

  # Nothing but driver functions leaves the library.
  add_test(NAME softcuda_exports
    COMMAND sh -c "! nm -D --defined-only $<TARGET_FILE:softcuda> | grep -v ' T cu'")
  set_tests_properties(softcuda_exports PROPERTIES TIMEOUT 20)
endif()
