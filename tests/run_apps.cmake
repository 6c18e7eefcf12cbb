# The programs of tests/apps as tests: each through `farlane run` against a gpuserverd of its own on
# the software device, so that a failure has a name and a server's log that nobody else wrote in.
# That the server stays healthy and ends cleanly is part of each test (run_with_server.py).
#
# All carry the label `apps`. Under the sanitizers they all exist too, and those that would say
# nothing new there, or take too long, also carry `release_only`, which scripts/test.sh leaves out.

# What later issues bring. On a real GPU without Farlane these pass.
set(FARLANE_APPS_LATER)

# At least one of each kind, and quick: with instrumented client libraries, server and software
# device.
set(FARLANE_APPS_SANITIZED
  async_alloc callbacks_refill callbacks_streams constant_symbols copies_2d device_printf driver_api
  dynamic_shared entry_points
  fail_device_assert fail_illegal_address fail_invalid_handle fail_launch_config fail_not_ready
  fail_use_after_free histogram_atomics host_callbacks host_memory launch_entries mixed_runtime_driver params_4k
  per_thread_stream rdc_multi reduction_shuffle static_lifetime streams_events struct_params
  threads_share_device vector_add)

# A sanitizer's runtime must be the first library of a process, and the programs are not linked
# with it as our libraries are.
set(FARLANE_SANITIZER_PRELOAD)
if(FARLANE_SANITIZER)
  string(SUBSTRING ${FARLANE_SANITIZER} 0 1 initial)  # libasan, libtsan
  execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=lib${initial}san.so
    OUTPUT_VARIABLE runtime OUTPUT_STRIP_TRAILING_WHITESPACE)
  get_filename_component(runtime ${runtime} REALPATH)
  set(FARLANE_SANITIZER_PRELOAD "env LD_PRELOAD=${runtime} ")
endif()

get_property(names GLOBAL PROPERTY FARLANE_APP_NAMES)
foreach(name IN LISTS FARLANE_APPS_LATER FARLANE_APPS_SANITIZED)
  if(NOT name IN_LIST names)
    message(FATAL_ERROR "tests/run_apps.cmake names ${name}, which is not in tests/apps")
  endif()
endforeach()

foreach(name IN LISTS names)
  if(name IN_LIST FARLANE_APPS_LATER)
    continue()
  endif()
  add_test(NAME app.${name} COMMAND ${Python3_EXECUTABLE}
    ${CMAKE_CURRENT_SOURCE_DIR}/run_with_server.py
    --server $<TARGET_FILE:gpuserverd> --option=--device=software --
    ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/apps/run_apps.py
    --apps ${FARLANE_APPS_DIR} --only "^${name}$" --no-skip --timeout 200
    --launcher "${FARLANE_SANITIZER_PRELOAD}$<TARGET_FILE:farlane> run --")
  set(labels apps)
  if(NOT name IN_LIST FARLANE_APPS_SANITIZED)
    list(APPEND labels release_only)
  endif()
  set_tests_properties(app.${name} PROPERTIES LABELS "${labels}" TIMEOUT 240)
endforeach()

# The same through shared memory, for programs that between them use every way of moving bytes.
set(FARLANE_APPS_SHM
  async_alloc callbacks_refill callbacks_streams copies_2d device_printf fail_illegal_address
  fork_child host_callbacks host_memory large_copy
  many_launches memory_stress streams_events threads_share_device vector_add)
foreach(name IN LISTS FARLANE_APPS_SHM)
  if(NOT name IN_LIST names)
    message(FATAL_ERROR "tests/run_apps.cmake names ${name}, which is not in tests/apps")
  endif()
  add_test(NAME app_shm.${name} COMMAND ${Python3_EXECUTABLE}
    ${CMAKE_CURRENT_SOURCE_DIR}/run_with_server.py --transport shm
    --server $<TARGET_FILE:gpuserverd> --option=--device=software --
    ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/apps/run_apps.py
    --apps ${FARLANE_APPS_DIR} --only "^${name}$" --no-skip --timeout 200
    --launcher "${FARLANE_SANITIZER_PRELOAD}$<TARGET_FILE:farlane> run --")
  set(labels apps)
  if(NOT name IN_LIST FARLANE_APPS_SANITIZED)
    list(APPEND labels release_only)
  endif()
  set_tests_properties(app_shm.${name} PROPERTIES LABELS "${labels}" TIMEOUT 240)
endforeach()

# Again, with the program in a container and the server outside: only the socket's folder is common.
foreach(name fork_child host_memory large_copy vector_add)
  add_test(NAME app_container.${name} COMMAND ${Python3_EXECUTABLE}
    ${CMAKE_CURRENT_SOURCE_DIR}/run_with_server.py --transport shm
    --server $<TARGET_FILE:gpuserverd> --option=--device=software --
    ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/in_container.py
    ${Python3_EXECUTABLE} ${CMAKE_CURRENT_SOURCE_DIR}/apps/run_apps.py
    --apps ${FARLANE_APPS_DIR} --only "^${name}$" --timeout 200
    --launcher "${FARLANE_SANITIZER_PRELOAD}$<TARGET_FILE:farlane> run --")
  set_tests_properties(app_container.${name} PROPERTIES LABELS "apps;release_only" TIMEOUT 240
    SKIP_RETURN_CODE 77)
endforeach()

# About several devices: the server has two, and a session gets both.
set(FARLANE_APPS_TWO_DEVICES devices_peer devices_two)
foreach(name IN LISTS FARLANE_APPS_TWO_DEVICES)
  set_tests_properties(app.${name} PROPERTIES
    ENVIRONMENT "FARLANE_SOFTCUDA_DEVICES=2;FARLANE_DEVICES=0")
endforeach()

# Fills the device: a small one, so that nobody else's test is starved.
set_tests_properties(app.fail_out_of_memory PROPERTIES
  ENVIRONMENT FARLANE_SOFTCUDA_MEMORY_MIB=1000)
