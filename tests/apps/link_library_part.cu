// What link_library links: device code in an object of the host's compiler.
extern "C" __device__ unsigned twice(unsigned value) {
  return 2 * value;
}
