#!/usr/bin/env bash
# On a machine with a real GPU, from a build made elsewhere: every test program natively and
# through Farlane, outputs held against each other, then the comparison of farlane-bench.
#
#   scripts/gpu/verify.sh [BUILD [APPS [OUT]]]     (build/release, build/apps-bin, $OUT)
#
# Needs python3 and the CUDA runtime's shared library; nothing is installed. Prints a short table
# last. FARLANE_BENCH=0 leaves the comparison out, FARLANE_BENCH_RUNS sets its runs.
set -u
build=${1:-build/release}
apps=${2:-build/apps-bin}
out=${3:-${OUT:-build/gpu}}
. "$(dirname "$0")/common.sh"
python=$(command -v python3)

scratch=$(mktemp -d)
trap 'kill -TERM ${server:-} 2>/dev/null; wait 2>/dev/null; rm -rf "$scratch"' EXIT
start_server "$scratch" --device "${FARLANE_DEVICE:-cuda}"
"$build/bin/farlane" devices --server "$address"

# One at a time: some fill the device's memory or look at how much of it is free.
"$python" tests/apps/run_apps.py --apps "$apps" --expected tests/apps/expected \
  --out "$scratch/native" --timeout 120 >"$out/native.txt" 2>&1
native=$?
"$python" tests/apps/run_apps.py --apps "$apps" --compare "$scratch/native" \
  --out "$scratch/remote" --launcher "$build/bin/farlane run --server $address --" \
  --timeout 120 >"$out/remote.txt" 2>&1
remote=$?
tar -czf "$out/outputs.tar.gz" -C "$scratch" native remote 2>/dev/null
if [ "${FARLANE_BENCH:-1}" != 0 ]; then
  "$build/bin/farlane-bench" compare --device cuda --runs "${FARLANE_BENCH_RUNS:-5}" \
    --json "$out/compare.json" >"$out/compare.txt" 2>"$out/compare.log"
  cat "$out/compare.txt"; tail -n 5 "$out/compare.log"
fi
grep -E 'FAIL|TIMEOUT|differ' "$out/remote.txt" | head -n 30
grep -E '\[(warning|error|critical)\]' "$out/gpuserverd.log" | tail -n 10
echo "native: $(tail -n 1 "$out/native.txt")"
echo "remote: $(tail -n 1 "$out/remote.txt")"
exit $((native != 0 || remote != 0))
