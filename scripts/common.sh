# Sourced by the scripts beside it. They work from any folder: everything is relative to
# FARLANE_ROOT.
set -euo pipefail

FARLANE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
FARLANE_LOGS=$FARLANE_ROOT/build/logs
mkdir -p "$FARLANE_LOGS"

say() { printf '%s\n' "$*"; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# logged NAME TEXT COMMAND...: runs a command with its output in build/logs/NAME.log; says TEXT and
# how long it took, and on failure the end of the log.
logged() {
  local name=$1 text=$2 start=$SECONDS
  local log=$FARLANE_LOGS/$name.log
  shift 2
  printf '%-52s ' "$text"
  if "$@" >"$log" 2>&1 </dev/null; then
    say "ok ($((SECONDS - start)) s)"
  else
    local code=$?
    say "FAILED after $((SECONDS - start)) s; the end of $log:"
    tail -n 40 "$log"
    return "$code"
  fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "this needs root: run it as root or install sudo ($*)"
  fi
}

# The toolkit's own folder behind an nvcc, which may be a link or a wrapper script. nvcc says it in
# a dry run as "#$ TOP=...".
toolkit_of_nvcc() {
  local top
  top=$("$1" -dryrun -E -x cu /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p' | head -n 1)
  [ -n "$top" ] && (cd "$top" 2>/dev/null && pwd -P)
}

# Farlane's libcudart is the one of CUDA 13.0: the declarations it is checked against must be too.
toolkit_usable() {
  [ -x "$1/bin/nvcc" ] && [ -e "$1/include/cuda_runtime_api.h" ] &&
    grep -qE '^#define CUDA_VERSION 130[0-9][0-9]$' "$1/include/cuda.h" 2>/dev/null
}

# Sets CUDA_HOME to a usable toolkit, or returns 1.
find_cuda() {
  local candidate
  local -a candidates=()
  if [ "${FARLANE_IGNORE_SYSTEM_CUDA:-}" != 1 ]; then
    candidates+=("${CUDA_HOME:-}")
    if command -v nvcc >/dev/null; then candidates+=("$(toolkit_of_nvcc nvcc || true)"); fi
    candidates+=(/usr/local/cuda /usr/local/cuda-13.0)
  fi
  candidates+=("$FARLANE_ROOT/build/cuda")
  for candidate in "${candidates[@]}"; do
    if [ -n "$candidate" ] && toolkit_usable "$candidate"; then
      export CUDA_HOME=$candidate
      return 0
    fi
  done
  return 1
}

# Jobs for the build: one per CPU, but no more than memory allows at 1.5 GB each.
build_jobs() {
  local cpus kilobytes by_memory
  cpus=$(nproc)
  kilobytes=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
  by_memory=$(((kilobytes + 1500000) / 1500000))
  say $((cpus < by_memory ? cpus : by_memory))
}
