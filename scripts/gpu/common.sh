# Sourced by the scripts of this folder, which run on a machine with a real GPU, from a build made
# elsewhere. Sets `build` and `out`, lets programs find the libraries carried along and the CUDA
# runtime's, and says which GPU it is.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
mkdir -p "$out"
# A build tree carried from elsewhere may bring libraries of its distribution along.
[ -d "$build/deps" ] && export LD_LIBRARY_PATH=$PWD/$build/deps${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
cuda=$(dirname "$(readlink -f "$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)")")/..
cudart=$(dirname "$(find -L "$cuda" /usr/local -name 'libcudart.so.13' 2>/dev/null | head -n 1)")
export LD_LIBRARY_PATH=$cudart${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version --format=csv,noheader

# Starts a gpuserverd with the arguments given, and sets `server` (its process) and `address`.
start_server() {
  local folder=$1
  shift
  "$build/bin/gpuserverd" --listen 127.0.0.1:0 --port-file "$folder/port" \
    --module-cache-dir "$folder/modules" "$@" >"$out/gpuserverd.log" 2>&1 &
  server=$!
  for _ in $(seq 300); do [ -s "$folder/port" ] && break; sleep 0.1; done
  if ! [ -s "$folder/port" ]; then
    echo "gpuserverd did not listen:"; cat "$out/gpuserverd.log"; exit 1
  fi
  address=$(cat "$folder/port")
  case $address in *:*) ;; *) address=127.0.0.1:$address ;; esac
}
