# libsoftcuda.so: the driver functions the worker uses, on top of the PTX engine.
set(softcuda_driver_sources
  driver_api_context.cc driver_api_copy.cc driver_api_device.cc driver_api_error.cc
  driver_api_launch.cc driver_api_library.cc driver_api_memory.cc driver_api_module.cc
  driver_api_pool.cc driver_api_proc.cc driver_api_stream.cc driver_api_virtual.cc
  driver_context.cc driver_copy.cc driver_device.cc driver_launch.cc driver_memory.cc
  driver_memory_host.cc driver_memory_virtual.cc driver_module.cc driver_scheduler.cc
  driver_stream.cc image_select.cc)

add_library(softcuda SHARED ${softcuda_driver_sources})
target_link_libraries(softcuda PRIVATE
  farlane_options farlane_cuda_headers farlane_codec Threads::Threads)
if(TARGET farlane_softcuda_engine)
  target_link_libraries(softcuda PRIVATE farlane_softcuda_engine)
else()
  target_sources(softcuda PRIVATE driver_no_engine.cc)
endif()
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
