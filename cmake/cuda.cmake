# Finds the CUDA toolkit: CUDA_HOME, nvcc on PATH, /usr/local/cuda, or what scripts/setup.sh put into build/cuda.
find_program(FARLANE_NVCC nvcc
  HINTS $ENV{CUDA_HOME}/bin
  PATHS /usr/local/cuda/bin ${CMAKE_SOURCE_DIR}/build/cuda/bin)
if(NOT FARLANE_NVCC)
  message(FATAL_ERROR "no CUDA toolkit found: set CUDA_HOME, put nvcc on PATH, or run scripts/setup.sh")
endif()
get_filename_component(FARLANE_NVCC_REAL ${FARLANE_NVCC} REALPATH)
get_filename_component(FARLANE_CUDA_ROOT ${FARLANE_NVCC_REAL}/../.. ABSOLUTE)
message(STATUS "CUDA toolkit: ${FARLANE_CUDA_ROOT}")

# Headers only. -isystem: the vendor's headers are not held to our warnings.
add_library(farlane_cuda_headers INTERFACE)
target_include_directories(farlane_cuda_headers SYSTEM INTERFACE ${FARLANE_CUDA_ROOT}/include)
