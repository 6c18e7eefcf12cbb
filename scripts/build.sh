#!/usr/bin/env bash
# Sets up what is missing and builds.
#
#   scripts/build.sh [PRESET] [TARGET...]    default: release, everything
#
# The result is in build/PRESET/bin and build/PRESET/lib/farlane.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

preset=${1:-release}
shift || true
if [ "$preset" = fuzz ]; then
  "$FARLANE_ROOT/scripts/setup.sh" --fuzz
else
  "$FARLANE_ROOT/scripts/setup.sh"
fi
find_cuda
cd "$FARLANE_ROOT"
logged "configure-$preset" "configuring build/$preset" \
  cmake --preset "$preset" -DFARLANE_NVCC="$CUDA_HOME/bin/nvcc"
targets=()
if [ $# -gt 0 ]; then targets=(--target "$@"); fi
logged "build-$preset" "building build/$preset" \
  cmake --build "build/$preset" -j "$(build_jobs)" "${targets[@]}"
