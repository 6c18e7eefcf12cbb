# farlane_options carries what every target of ours is compiled with.
include(GNUInstallDirs)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(farlane_options INTERFACE)
target_compile_options(farlane_options INTERFACE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror)
target_include_directories(farlane_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
# Asio without Boost, header only; fmt header only, so that nothing of ours clashes with a program's own copies.
target_compile_definitions(farlane_options INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED FMT_HEADER_ONLY)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12's own headers trip the first two at -O3 (GCC bugs 105329 and 105562); the third would forbid to name
  # only some members in an initialiser, where the others have their defaults.
  target_compile_options(farlane_options INTERFACE -Wno-restrict -Wno-maybe-uninitialized
    -Wno-missing-field-initializers)
  if(CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 13)
    # GCC 13 sees an overflow in fmt 9's memory_buffer::grow() that cannot happen.
    target_compile_options(farlane_options INTERFACE -Wno-array-bounds -Wno-stringop-overflow)
  endif()
endif()

find_program(MOLD mold)
find_program(LLD ld.lld)
if(MOLD AND NOT FARLANE_FUZZ)
  add_link_options(-fuse-ld=mold)
elseif(LLD)
  add_link_options(-fuse-ld=lld)
endif()

if(FARLANE_SANITIZER STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(FARLANE_SANITIZER STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(FARLANE_SANITIZER)
  message(FATAL_ERROR "FARLANE_SANITIZER is \"${FARLANE_SANITIZER}\"; it may be empty, address or thread")
endif()

# farlane_client_link(target): the rules for a library that is loaded into somebody else's process: our own
# libstdc++ inside, nothing visible but what the version script names.
function(farlane_client_link target)
  target_link_options(${target} PRIVATE -Wl,-z,defs -Wl,--exclude-libs,ALL)
  if(NOT FARLANE_SANITIZER)
    target_link_options(${target} PRIVATE -static-libstdc++ -static-libgcc)
  endif()
  set_target_properties(${target} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${FARLANE_LIBRARY_DIR})
endfunction()
