#!/usr/bin/env bash
# On a machine with a real GPU and PyTorch, from a build made elsewhere: the workloads natively and
# through Farlane, what goes wrong on both sides, start-up, graph replay and a slower network.
#
#   scripts/gpu/pytorch.sh [BUILD [OUT]]     (build/release, $OUT)
#
# PYTHON is the interpreter that has PyTorch (python3); its wheels' CUDA-X libraries are the
# server's, too. FARLANE_PYTORCH_TABLES sets which tables are made (workloads failures measure),
# FARLANE_PYTORCH_ONLY which workloads, FARLANE_PYTORCH_FIGURES which figures of `measure`,
# FARLANE_PYTORCH_STEPS the steps of a workload (20), FARLANE_PYTORCH_RUNS the runs of `measure`
# (5), FARLANE_PYTORCH_STARTUP_RUNS its rounds of start-up (11); with FARLANE_PYTORCH_ONCE=1 each
# side of a workload runs once. FARLANE_DEVICE=software tries the script itself where there is no
# GPU. Logs go to OUT.
set -u
build=${1:-build/release}
out=${2:-${OUT:-build/gpu}}
. "$(dirname "$0")/common.sh"
python=${PYTHON:-python3}
device=${FARLANE_DEVICE:-cuda}
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
libraries=$(ls -d "$packages"/nvidia/*/lib 2>/dev/null | tr '\n' ':')
export FARLANE_GPUSERVERD_LIBRARIES_PATH=$libraries PYTHONDONTWRITEBYTECODE=1
programs=(--farlane "$build/bin/farlane" --python "$python")
native=()
[ "$device" = software ] && native=(--no-native)

scratch=$(mktemp -d)
trap 'kill -TERM ${server:-} 2>/dev/null; wait 2>/dev/null; rm -rf "$scratch"' EXIT
status=0
table() {
  local name=$1
  shift
  echo "== $name"
  timeout "${FARLANE_PYTORCH_LIMIT_S:-480}" "$@" 2>"$out/$name.log" | tee "$out/$name.txt"
  [ "${PIPESTATUS[0]}" = 0 ] || { status=1; tail -n 5 "$out/$name.log"; }
}
for name in ${FARLANE_PYTORCH_TABLES:-workloads failures measure}; do
  case $name in
    workloads)
      start_server "$scratch" --device "$device"
      only=()
      [ -n "${FARLANE_PYTORCH_ONLY:-}" ] && read -ra only <<<"--only $FARLANE_PYTORCH_ONLY"
      [ "${FARLANE_PYTORCH_ONCE:-0}" != 0 ] && only+=(--once)
      FARLANE_TRANSPORT=tcp table workloads "$python" tests/pytorch/run.py "${programs[@]}" \
        --server "$address" --steps "${FARLANE_PYTORCH_STEPS:-20}" --out "$out/workloads" \
        "${only[@]}"
      kill -TERM "$server"; wait "$server" 2>/dev/null
      ;;
    failures)
      table failures "$python" tests/pytorch/failures.py "${programs[@]}" --device "$device" \
        --gpuserverd "$build/bin/gpuserverd" --libraries "$libraries" --out "$out/failures" \
        "${native[@]}"
      ;;
    measure)
      figures=()
      [ -n "${FARLANE_PYTORCH_FIGURES:-}" ] && read -ra figures <<<"--only $FARLANE_PYTORCH_FIGURES"
      table measure "$python" tests/pytorch/measure.py "${programs[@]}" \
        --gpuserverd "$build/bin/gpuserverd" --bench "$build/bin/farlane-bench" \
        --libraries "$libraries" --runs "${FARLANE_PYTORCH_RUNS:-5}" \
        --startup-runs "${FARLANE_PYTORCH_STARTUP_RUNS:-11}" "${figures[@]}"
      ;;
    *) echo "no such table: $name"; status=1 ;;
  esac
done
exit $status
