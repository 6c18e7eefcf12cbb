# Finds the CUDA toolkit: CUDA_HOME, nvcc on PATH, /usr/local/cuda, or what scripts/setup.sh put into build/cuda.
find_program(FARLANE_NVCC nvcc
  HINTS $ENV{CUDA_HOME}/bin
  PATHS /usr/local/cuda/bin ${CMAKE_SOURCE_DIR}/build/cuda/bin)
if(NOT FARLANE_NVCC)
  message(FATAL_ERROR "no CUDA toolkit found: set CUDA_HOME, put nvcc on PATH, or run scripts/setup.sh")
endif()
# nvcc on PATH may be a link or a wrapper script; in a dry run it says where its toolkit is ("#$ TOP=...").
execute_process(COMMAND ${FARLANE_NVCC} -dryrun -E -x cu /dev/null
  OUTPUT_VARIABLE nvcc_says ERROR_VARIABLE nvcc_says)
if(nvcc_says MATCHES "#\\$ TOP=([^\n]+)")
  get_filename_component(FARLANE_CUDA_ROOT ${CMAKE_MATCH_1} REALPATH)
else()
  get_filename_component(nvcc_real ${FARLANE_NVCC} REALPATH)
  get_filename_component(FARLANE_CUDA_ROOT ${nvcc_real}/../.. ABSOLUTE)
endif()
if(NOT EXISTS ${FARLANE_CUDA_ROOT}/include/cuda_runtime_api.h)
  message(FATAL_ERROR "${FARLANE_NVCC} belongs to ${FARLANE_CUDA_ROOT}, which has no include/cuda_runtime_api.h: "
    "set CUDA_HOME to a whole toolkit, or run scripts/setup.sh")
endif()
# Our libraries are checked against the declarations of this version while they are compiled.
file(STRINGS ${FARLANE_CUDA_ROOT}/include/cuda.h cuda_version REGEX "^#define CUDA_VERSION ")
if(NOT cuda_version MATCHES " 130[0-9][0-9]$")
  message(FATAL_ERROR "the CUDA toolkit in ${FARLANE_CUDA_ROOT} is not 13.0 (${cuda_version}): "
    "set CUDA_HOME to one that is, or run scripts/setup.sh")
endif()
message(STATUS "CUDA toolkit: ${FARLANE_CUDA_ROOT}")

# NVML's header comes with some toolkits and not with others; scripts/setup.sh fetches it.
find_path(FARLANE_NVML_INCLUDE nvml.h
  HINTS ${CMAKE_SOURCE_DIR}/build/nvml/include ${FARLANE_CUDA_ROOT}/include NO_DEFAULT_PATH)
if(NOT FARLANE_NVML_INCLUDE)
  message(FATAL_ERROR "there is no nvml.h: run scripts/setup.sh")
endif()
add_library(farlane_nvml_headers INTERFACE)
target_include_directories(farlane_nvml_headers SYSTEM INTERFACE ${FARLANE_NVML_INCLUDE})
# Every version of a function under its own name, none renamed by a macro.
target_compile_definitions(farlane_nvml_headers INTERFACE NVML_NO_UNVERSIONED_FUNC_DEFS)

# Headers only. -isystem: the vendor's headers are not held to our warnings.
add_library(farlane_cuda_headers INTERFACE)
target_include_directories(farlane_cuda_headers SYSTEM INTERFACE ${FARLANE_CUDA_ROOT}/include)
