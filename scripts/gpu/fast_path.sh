#!/usr/bin/env bash
# On a machine with a real GPU, from a build made elsewhere: the figures of the fast path, natively,
# over TCP and over shared memory, in one run.
#
#   scripts/gpu/fast_path.sh [BUILD [OUT]]     (build/release, $OUT)
#
# Needs the CUDA runtime's shared library; nothing is installed. FARLANE_BENCH_RUNS sets the runs of
# each figure (5), FARLANE_BENCH_TABLES which tables are made. Logs go to OUT.
set -u
build=${1:-build/release}
out=${2:-${OUT:-build/gpu}}
. "$(dirname "$0")/common.sh"

status=0
for table in ${FARLANE_BENCH_TABLES:-goals compare compare-shm sessions connections split}; do
  extra=()
  case $table in compare) extra=(--set FARLANE_TRANSPORT=tcp) ;; esac
  case $table in compare-shm) extra=(--set FARLANE_TRANSPORT=shm) ;; esac
  echo "== farlane-bench ${table%-shm} --device cuda --runs ${FARLANE_BENCH_RUNS:-5} ${extra[*]}"
  timeout 240 "$build/bin/farlane-bench" "${table%-shm}" --device cuda \
    --runs "${FARLANE_BENCH_RUNS:-5}" "${extra[@]}" >"$out/$table.txt" 2>"$out/$table.log" ||
    { status=1; tail -n 5 "$out/$table.log"; }
  cat "$out/$table.txt"
done
exit $status
