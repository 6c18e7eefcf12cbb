#!/usr/bin/env bash
# Shows Farlane at work on this machine alone: sets up, builds, starts gpuserverd on loopback (with
# the real GPU if there is one, else with the software device), runs an ordinary CUDA program
# through it, lists the devices, measures, and stops what it started.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

device=${FARLANE_DEMO_DEVICE:-auto} # auto, cuda, software
build=$FARLANE_ROOT/build/release
scratch=$(mktemp -d)
server_pid=

clean_up() {
  if [ -n "$server_pid" ] && kill -0 "$server_pid" 2>/dev/null; then
    kill -TERM "$server_pid"
    # It has 10 s to end its workers; then it is ended.
    for _ in $(seq 100); do
      kill -0 "$server_pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL "$server_pid" 2>/dev/null || true
  fi
  if [ -n "$server_pid" ]; then wait "$server_pid" 2>/dev/null || true; fi
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$FARLANE_ROOT/scripts/build.sh" release farlane_runtime
find_cuda

# As any user would build it.
demo=$FARLANE_ROOT/build/demo/mandelbrot
source_file=$FARLANE_ROOT/scripts/demo/mandelbrot.cu
if [ ! -x "$demo" ] || [ "$source_file" -nt "$demo" ]; then
  mkdir -p "$(dirname "$demo")"
  logged demo-program "compiling the demo: nvcc -cudart shared" \
    "$CUDA_HOME/bin/nvcc" -cudart shared -O3 \
    -gencode arch=compute_75,code=compute_75 -gencode arch=compute_90,code=sm_90 \
    "$source_file" -o "$demo"
fi

"$build/bin/gpuserverd" --listen 127.0.0.1:0 --device "$device" --port-file "$scratch/port" \
  --module-cache-dir "$scratch/modules" >"$FARLANE_LOGS/demo-server.log" 2>&1 &
server_pid=$!
for _ in $(seq 300); do
  [ -s "$scratch/port" ] && break
  kill -0 "$server_pid" 2>/dev/null || {
    tail -n 20 "$FARLANE_LOGS/demo-server.log"
    fail "gpuserverd ended before it listened; its log is $FARLANE_LOGS/demo-server.log"
  }
  sleep 0.1
done
[ -s "$scratch/port" ] ||
  fail "gpuserverd did not listen within 30 s; see $FARLANE_LOGS/demo-server.log"
address=$(cat "$scratch/port")
case $address in *:*) ;; *) address=127.0.0.1:$address ;; esac
export FARLANE_SERVER=$address

say
say "== gpuserverd listens on $address. Its devices:"
"$build/bin/farlane" devices

say
say "== A CUDA program that knows nothing of Farlane: farlane run -- mandelbrot"
"$build/bin/farlane" run -- "$demo"

if [ -x "$build/bin/farlane-bench" ]; then
  say
  say "== Latency and bandwidth (loopback; farlane-bench compare for the whole table)"
  for measurement in launch sync copy bandwidth; do
    "$build/bin/farlane" run -- "$build/bin/farlane-bench" "$measurement" --quick
  done
fi

say
kill -TERM "$server_pid"
code=0
wait "$server_pid" || code=$?
server_pid=
[ "$code" = 0 ] ||
  fail "gpuserverd ended with status $code; its log is $FARLANE_LOGS/demo-server.log"
say "== gpuserverd stopped. Your own program:"
say "   build/release/bin/farlane run --server HOST:PORT -- PROGRAM"
