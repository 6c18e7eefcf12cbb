#!/usr/bin/env bash
# Makes a Debian 12 or Ubuntu 24.04 machine ready to build Farlane: packages, the CUDA toolkit if
# there is none (into build/cuda, from the vendor's wheels), and NVML's header (into build/nvml).
# Does nothing that is done already.
#
#   scripts/setup.sh [--fuzz]    --fuzz: also the compiler for the fuzz targets
#
# FARLANE_IGNORE_SYSTEM_CUDA=1 takes the wheels although there is a toolkit.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=(
  build-essential ca-certificates cmake ninja-build git ccache lld
  python3 python3-pip python3-venv
  libasio-dev libcli11-dev libfmt-dev liblz4-dev libprotobuf-dev libprotozero-dev libspdlog-dev
  libssl-dev libtomlplusplus-dev libxxhash-dev libzstd-dev protobuf-compiler
  libbenchmark-dev libgtest-dev valgrind)
fuzz=0
for argument in "$@"; do
  case $argument in
    --fuzz) fuzz=1 ;;
    *) fail "unknown option $argument; there is only --fuzz" ;;
  esac
done

installed() {
  [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null | cut -c1-2)" = ii ]
}

install_packages() {
  local -a missing=()
  local package
  for package in "$@"; do installed "$package" || missing+=("$package"); done
  if [ ${#missing[@]} = 0 ]; then return 0; fi
  # The index may be missing or old: an update first, then all in one transaction.
  logged apt-update "updating the package index" as_root apt-get update
  logged apt-install "installing ${#missing[@]} packages" \
    as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"
}

if command -v apt-get >/dev/null; then
  install_packages "${packages[@]}"
  if [ "$fuzz" = 1 ]; then
    install_packages clang llvm
    # libFuzzer's package carries clang's version in its name.
    version=$(clang -dumpversion | cut -d. -f1)
    install_packages "libclang-rt-$version-dev"
  fi
else
  say "this is not Debian or Ubuntu: install what corresponds to: ${packages[*]}"
fi

install_cuda() {
  local target=$FARLANE_ROOT/build/cuda new=$FARLANE_ROOT/build/cuda.new
  rm -rf "$new"
  python3 -m pip install --disable-pip-version-check --no-deps --only-binary=:all: --target "$new" \
    'nvidia-cuda-nvcc==13.0.*' 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-crt==13.0.*' \
    'nvidia-nvvm==13.0.*' 'nvidia-cuda-cccl==13.0.*' 'nvidia-cuda-profiler-api==13.0.*'
  local root=$new/nvidia/cu13
  # The wheels hold no links and no stubs; nvcc and its users expect both.
  chmod +x "$root"/bin/* "$root"/nvvm/bin/*
  ln -sfn lib "$root/lib64"
  ln -sfn libcudart.so.13 "$root/lib/libcudart.so"
  python3 "$FARLANE_ROOT/scripts/make_libcuda_stub.py" \
    --include "$root/include" --output "$root/lib/stubs/libcuda.so"
  rm -rf "$target"
  mv "$root" "$target"
  rm -rf "$new"
  try_cuda "$target"
}

# A toolkit is what compiles, links and fits together.
try_cuda() {
  local folder
  folder=$(mktemp -d)
  cat >"$folder/try.cu" <<'SOURCE'
#include <cuda.h>
#include <cooperative_groups.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
__global__ void kernel(unsigned long long* out) { *out = cooperative_groups::this_grid().size(); }
int main() {
  int count = 0;
  kernel<<<1, 1>>>(nullptr);
  return cudaGetDeviceCount(&count) + cuDeviceGetCount(&count);
}
SOURCE
  env -u LIBRARY_PATH "$1/bin/nvcc" -cudart shared -std=c++17 -rdc=true \
    -gencode arch=compute_75,code=compute_75 -gencode arch=compute_90,code=sm_90 \
    "$folder/try.cu" -o "$folder/try" -lcuda
  local needed
  needed=$(readelf -d "$folder/try")
  rm -rf "$folder"
  grep -q 'libcudart.so.13' <<<"$needed" && grep -q 'libcuda.so.1' <<<"$needed"
}

if ! find_cuda; then
  logged cuda "installing the CUDA 13.0 toolkit into build/cuda" install_cuda ||
    fail "no CUDA toolkit: set CUDA_HOME to one of version 13.0, or see $FARLANE_LOGS/cuda.log"
  find_cuda || fail "the toolkit in build/cuda is not usable; remove build/cuda and try again"
fi
say "CUDA toolkit: $CUDA_HOME"

# NVML's header is in few toolkits; the vendor has it as a wheel of its own.
install_nvml_header() {
  local new=$FARLANE_ROOT/build/nvml.new
  rm -rf "$new"
  python3 -m pip install --disable-pip-version-check --no-deps --only-binary=:all: --target "$new" \
    'nvidia-nvml-dev==13.0.87'
  mkdir -p "$FARLANE_ROOT/build/nvml"
  mv "$new/nvidia/cu13/include" "$FARLANE_ROOT/build/nvml/include"
  rm -rf "$new"
}

if [ ! -e "$FARLANE_ROOT/build/nvml/include/nvml.h" ] && [ ! -e "$CUDA_HOME/include/nvml.h" ]; then
  logged nvml "fetching NVML's header" install_nvml_header ||
    fail "no nvml.h: see $FARLANE_LOGS/nvml.log"
fi
