# `cmake --install`: bin/ lib/farlane/ etc/farlane/ share/doc/farlane/. The folder of the libraries is lib/ and not
# lib/x86_64-linux-gnu/: `farlane` and `gpuserverd` find them in ../lib/farlane, installed or not.
set(farlane_programs farlane gpuserverd farlane-bench)
set(farlane_libraries farlane_core farlane_cudart farlane_cuda farlane_nvml softcuda)
foreach(name ${FARLANE_CUDAX})
  list(APPEND farlane_libraries farlane_${name})
endforeach()

# What running programs needs, and no tests: scripts/demo.sh builds this.
add_custom_target(farlane_runtime)
foreach(target ${farlane_programs} ${farlane_libraries})
  if(TARGET ${target})
    add_dependencies(farlane_runtime ${target})
  endif()
endforeach()

foreach(target ${farlane_programs})
  if(NOT TARGET ${target})
    continue()
  endif()
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    # No rpath: what loads our libraries does so by name, and farlane-bench must also run natively.
    install(TARGETS ${target} RUNTIME DESTINATION bin)
  else()  # built by nvcc, so that CMake knows only a command
    install(PROGRAMS ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/${target} DESTINATION bin)
  endif()
endforeach()

foreach(target ${farlane_libraries})
  if(TARGET ${target})
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN")
    # Real file, SONAME and the link to build against, beside each other: a program may be linked against them.
    install(TARGETS ${target} LIBRARY DESTINATION lib/farlane)
  endif()
endforeach()

install(FILES conf/client.example.toml conf/server.example.toml DESTINATION etc/farlane)
install(FILES README.md LICENSE DESTINATION share/doc/farlane)
install(DIRECTORY docs/ DESTINATION share/doc/farlane/docs FILES_MATCHING PATTERN "*.md")

if(FARLANE_TESTS)
  add_test(NAME install COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/cmake/install_test.py
    --cmake ${CMAKE_COMMAND} --build ${CMAKE_BINARY_DIR})
  # The installed libraries are run by programs without a sanitizer, which its runtime refuses.
  set_tests_properties(install PROPERTIES TIMEOUT 120 LABELS release_only)
endif()
