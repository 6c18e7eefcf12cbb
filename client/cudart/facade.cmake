# Programs are C: their enumerations may hold any number, which is checked and not undefined.
function(farlane_c_enumerations target)
  if(FARLANE_SANITIZER STREQUAL "address")
    target_compile_options(${target} PRIVATE -fno-sanitize=enum)
  endif()
endfunction()

# farlane_facade(target EXPORTS file OBJECTS object-library STUB function [VERSION_NODE node])
# Makes a shared library that exports exactly the names in `file`. Those without a hand-written
# definition answer `function(name)`: their stubs are weak, so that writing a function is all it
# takes to replace its stub.
function(farlane_facade target)
  cmake_parse_arguments(F "" "EXPORTS;STUB;VERSION_NODE" "OBJECTS" ${ARGN})
  file(STRINGS ${F_EXPORTS} names)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${F_EXPORTS})
  set(stubs "// Generated from ${F_EXPORTS}.\nextern \"C\" {\nint ${F_STUB}(const char*);\n")
  set(script "${F_VERSION_NODE} {\n  global:\n")
  foreach(name ${names})
    string(APPEND stubs
      "__attribute__((weak)) int ${name}() { return ${F_STUB}(\"${name}\"); }\n")
    string(APPEND script "    ${name};\n")
  endforeach()
  string(APPEND stubs "}\n")
  string(APPEND script "  local:\n    *;\n};\n")
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${target}_stubs.cc CONTENT "${stubs}" @ONLY)
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${target}.map CONTENT "${script}" @ONLY)

  add_library(${target}_stubs OBJECT ${CMAKE_CURRENT_BINARY_DIR}/${target}_stubs.cc)
  target_link_libraries(${target}_stubs PRIVATE farlane_options)
  # Names that the compiler knows (none of ours) would be warned about; visibility is the script's.
  set_target_properties(${target}_stubs PROPERTIES CXX_VISIBILITY_PRESET default)

  add_library(${target} SHARED)
  target_link_libraries(${target}
    PRIVATE ${F_OBJECTS} ${target}_stubs farlane_core ${CMAKE_DL_LIBS})
  farlane_client_link(${target})
  # -Bsymbolic: addresses that we give out are ours, whatever else the process has loaded.
  target_link_options(${target} PRIVATE -Wl,-Bsymbolic
    -Wl,--version-script=${CMAKE_CURRENT_BINARY_DIR}/${target}.map)
  set_target_properties(${target} PROPERTIES
    LINK_DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/${target}.map
    BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN")
  install(TARGETS ${target} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/farlane)
endfunction()
