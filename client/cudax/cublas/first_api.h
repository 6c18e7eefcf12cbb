// cuBLAS's first API: functions without a handle, whose errors stay until cublasGetError asks. They
// are made of those with a handle, on the client (generated from `on(…)` in
// protocol/api/cublas.api).
//
// Include <cublas.h> or <cublas_v2.h> before this: one cannot include both, and either will do.
#pragma once

namespace farlane::client::cudax::cublas {

// The letters that stand for enumerations, of either case.
inline bool is_operation(char c) {
  return c == 'N' || c == 'n' || c == 'T' || c == 't' || c == 'C' || c == 'c';
}
inline cublasOperation_t operation(char c) {
  return c == 'N' || c == 'n' ? CUBLAS_OP_N : c == 'T' || c == 't' ? CUBLAS_OP_T : CUBLAS_OP_C;
}
inline bool is_fill_mode(char c) {
  return c == 'L' || c == 'l' || c == 'U' || c == 'u';
}
inline cublasFillMode_t fill_mode(char c) {
  return c == 'L' || c == 'l' ? CUBLAS_FILL_MODE_LOWER : CUBLAS_FILL_MODE_UPPER;
}
inline bool is_side_mode(char c) {
  return c == 'L' || c == 'l' || c == 'R' || c == 'r';
}
inline cublasSideMode_t side_mode(char c) {
  return c == 'L' || c == 'l' ? CUBLAS_SIDE_LEFT : CUBLAS_SIDE_RIGHT;
}
inline bool is_diagonal(char c) {
  return c == 'N' || c == 'n' || c == 'U' || c == 'u';
}
inline cublasDiagType_t diagonal(char c) {
  return c == 'N' || c == 'n' ? CUBLAS_DIAG_NON_UNIT : CUBLAS_DIAG_UNIT;
}

// The handle on the current device that the call is to use. Null: it is not to be made, because
// cublasInit was not called, or there is no handle to be had (which is kept for cublasGetError).
cublasHandle_t first_begin();
// What became of it; it was posted, or waited for its result.
void first_posted_end(cublasStatus_t status);
void first_asked_end(cublasStatus_t status);

// `call` is one of a function with a handle. Any thread. `letters_known`: else it is not made.
template <class F>
void first_posted(bool letters_known, F&& call) {
  if (const cublasHandle_t handle = first_begin(); handle != nullptr) {
    first_posted_end(letters_known ? call(handle) : CUBLAS_STATUS_INVALID_VALUE);
  }
}
template <class F>
void first_asked(bool letters_known, F&& call) {
  if (const cublasHandle_t handle = first_begin(); handle != nullptr) {
    first_asked_end(letters_known ? call(handle) : CUBLAS_STATUS_INVALID_VALUE);
  }
}

}  // namespace farlane::client::cudax::cublas
