# Programs are C: their enumerations may hold any number, which is checked and not undefined.
function(farlane_c_enumerations target)
  if(FARLANE_SANITIZER STREQUAL "address")
    target_compile_options(${target} PRIVATE -fno-sanitize=enum)
  endif()
endfunction()

# farlane_facade(NAME library)
# Makes farlane_<library>, the shared library that exports what protocol/api/<library>.api
# describes: the hand-written functions are in farlane_<library>_objects, stubs for the others and
# the list of exports come from the description.
function(farlane_facade name)
  set(target farlane_${name})
  set(generated ${CMAKE_BINARY_DIR}/generated/client)
  add_library(${target}_stubs OBJECT ${generated}/${name}_stubs.cc)
  add_dependencies(${target}_stubs farlane_api_generated)
  target_link_libraries(${target}_stubs PRIVATE farlane_options)

  add_library(${target} SHARED)
  target_link_libraries(${target} PRIVATE
    ${target}_objects farlane_facade_common ${target}_stubs farlane_core ${CMAKE_DL_LIBS})
  farlane_client_link(${target})
  # -Bsymbolic: addresses that we give out are ours, whatever else the process has loaded.
  target_link_options(${target} PRIVATE
    -Wl,-Bsymbolic -Wl,--version-script=${generated}/${name}.map)
  set_target_properties(${target} PROPERTIES
    LINK_DEPENDS ${generated}/${name}.map BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN")
  install(TARGETS ${target} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/farlane)

  if(FARLANE_TESTS)
    # The third argument is the version node, or - for none; the last the vendor's library.
    if(name STREQUAL "cudart")
      set(vendor libcudart.so.13 ${FARLANE_CUDA_ROOT}/lib64/libcudart.so.13)
    elseif(name STREQUAL "cuda")
      set(vendor - ${FARLANE_CUDA_ROOT}/lib64/stubs/libcuda.so)
    else()
      set(vendor - -)
    endif()
    add_test(NAME ${name}_exports
      COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/client/cudart/check_exports.py
              $<TARGET_FILE:${target}> ${generated}/${name}_exports.txt ${vendor})
    set_tests_properties(${name}_exports PROPERTIES TIMEOUT 60)
  endif()
endfunction()
