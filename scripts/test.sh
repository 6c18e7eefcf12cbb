#!/usr/bin/env bash
# Sets up, builds and runs the whole test suite: release, then under the address and thread
# sanitizers, then the fuzz targets for a minute each.
#
#   scripts/test.sh [PRESET...]      only these: release, debug, asan, tsan, fuzz
#
# FARLANE_TEST_QUICK=1     only release
# FARLANE_FUZZ_SECONDS=60  how long each fuzz target runs
#
# A test that makes no sense under a sanitizer (it runs somebody else's binaries, or only measures)
# carries the ctest label release_only.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

presets=(release asan tsan fuzz)
if [ "${FARLANE_TEST_QUICK:-}" = 1 ]; then presets=(release); fi
if [ $# -gt 0 ]; then presets=("$@"); fi
fuzz_seconds=${FARLANE_FUZZ_SECONDS:-60}
results=$FARLANE_ROOT/build/test-results
rm -rf "$results"
mkdir -p "$results"
started=$SECONDS
failed=()

run_ctest() {
  local preset=$1
  local -a without=()
  case $preset in
    asan | tsan) without=(--label-exclude release_only) ;;
  esac
  # The client's courier thread is never joined: it lives as long as the program.
  local tsan_options=halt_on_error=1:second_deadlock_stack=1:report_thread_leaks=0
  tsan_options+=:suppressions=$FARLANE_ROOT/tests/tsan.supp
  # Sanitizers stop at the first finding, so that a finding is a failed test. What a person wants
  # to see here: the tests that did not pass, and the sum.
  local shown='^ *[0-9]+/[0-9]+ .*(Failed|Timeout|Not Run|Exception|Child aborted)'
  shown+='|tests passed|Total Test time'
  ASAN_OPTIONS=${ASAN_OPTIONS:-} \
  UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1} \
  TSAN_OPTIONS=${TSAN_OPTIONS:-$tsan_options} \
    ctest --test-dir "$FARLANE_ROOT/build/$preset" --output-on-failure --timeout 300 \
    -j "$(nproc)" "${without[@]}" --output-junit "$results/$preset.xml" \
    2>&1 | tee "$FARLANE_LOGS/test-$preset.log" |
    { grep -E "$shown" || true; }
  return "${PIPESTATUS[0]}"
}

run_fuzz() {
  local target name
  local -a targets=()
  mapfile -t targets < <(
    find "$FARLANE_ROOT/build/fuzz/bin" -type f -perm -u+x -name '*_fuzz' | sort)
  if [ ${#targets[@]} = 0 ]; then
    say "there is no fuzz target in build/fuzz/bin"
    return 1
  fi
  for target in "${targets[@]}"; do
    name=$(basename "$target")
    local found=$results/$name.findings corpus=$FARLANE_ROOT/build/fuzz/corpus/$name
    mkdir -p "$found" "$corpus"
    local -a seeds=()
    # Seeds that a program beside the target makes: TARGET_seeds FOLDER.
    if [ -x "${target}_seeds" ]; then
      "${target}_seeds" "$corpus" >/dev/null || return 1
    fi
    # Seeds that are checked in, beside the sources: tests/fuzz/corpus/NAME.
    if [ -d "$FARLANE_ROOT/tests/fuzz/corpus/$name" ]; then
      seeds=("$FARLANE_ROOT/tests/fuzz/corpus/$name")
    fi
    logged "fuzz-$name" "fuzzing $name for $fuzz_seconds s" \
      "$target" -max_total_time="$fuzz_seconds" -timeout=10 -rss_limit_mb=4096 \
      -artifact_prefix="$found/" -print_final_stats=1 "$corpus" "${seeds[@]}" || return 1
  done
}

# What tests/python runs. Without PyPI those tests are skipped, and say so.
install_python_tests() {
  local target=$FARLANE_ROOT/build/python-tests wanted=$FARLANE_ROOT/tests/python/requirements.txt
  if cmp -s "$wanted" "$target/installed.txt"; then return 0; fi
  rm -rf "$target"
  python3 -m venv "$target"
  "$target/bin/pip" install --disable-pip-version-check --only-binary=:all: -r "$wanted"
  cp "$wanted" "$target/installed.txt"
}
logged python-tests "installing the Python programs that are tested" install_python_tests ||
  say "tests/python will be skipped: PyPI is not reachable (build/logs/python-tests.log)"

for preset in "${presets[@]}"; do
  say "--- $preset"
  # Under the fuzz preset only what is fuzzed.
  targets=()
  if [ "$preset" = fuzz ]; then targets=(farlane_worker_fuzz farlane_worker_fuzz_seeds); fi
  if ! "$FARLANE_ROOT/scripts/build.sh" "$preset" "${targets[@]}"; then
    failed+=("$preset (build)")
    continue
  fi
  if [ "$preset" = fuzz ]; then
    run_fuzz || failed+=("fuzz")
  else
    run_ctest "$preset" || failed+=("$preset")
  fi
done

say "---"
python3 "$FARLANE_ROOT/scripts/sum_results.py" "$results" || failed+=("results")
say "took $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s; logs in build/logs"
if [ ${#failed[@]} -gt 0 ]; then
  say "FAILED: ${failed[*]}"
  exit 1
fi
say "PASSED: ${presets[*]}"
