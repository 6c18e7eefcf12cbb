#!/usr/bin/env bash
# On a machine with two GPUs and PyTorch, from a build made elsewhere: programs that use both
# natively and through Farlane, NCCL's bandwidths, torch.distributed.
#
#   scripts/gpu/two_gpus.sh [BUILD [APPS [OUT]]]     (build/release, build/apps-bin, $OUT)
#
# PYTHON is the interpreter that has PyTorch (python3). FARLANE_TWO_GPUS_ONLY sets which workloads
# of two_gpus.py are run. Nothing is installed. Logs go to OUT.
set -u
build=${1:-build/release}
apps=${2:-build/apps-bin}
out=${3:-${OUT:-build/gpu}}
. "$(dirname "$0")/common.sh"
python=${PYTHON:-python3}
packages=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
libraries=$(ls -d "$packages"/nvidia/*/lib 2>/dev/null | tr '\n' ':')
export PYTHONDONTWRITEBYTECODE=1 FARLANE_DEVICES=0

scratch=$(mktemp -d)
trap 'kill -TERM ${server:-} 2>/dev/null; wait 2>/dev/null; rm -rf "$scratch"' EXIT
start_server "$scratch" --device cuda --libraries-path "$libraries"
status=0
"$python" tests/apps/run_apps.py --apps "$apps" --expected tests/apps/expected \
  --only 'devices_|ipc_' --out "$scratch/native" --timeout 60 || status=1
"$python" tests/apps/run_apps.py --apps "$apps" --compare "$scratch/native" \
  --only 'devices_|ipc_' --out "$scratch/remote" --timeout 60 \
  --launcher "$build/bin/farlane run --server $address --" || status=1
only=()
[ -n "${FARLANE_TWO_GPUS_ONLY:-}" ] && read -ra only <<<"--only $FARLANE_TWO_GPUS_ONLY"
FARLANE_TRANSPORT=tcp "$python" scripts/gpu/two_gpus.py --farlane "$build/bin/farlane" \
  --server "$address" --python "$python" --all-reduce "$build/bin/all_reduce" \
  --libraries "$libraries$cudart" "${only[@]}" || status=1
grep -E '\[(warning|error|critical)\]|NCCL:' "$out/gpuserverd.log" | tail -n 20
exit $status
