// What posted calls of cuBLAS came to, for functions that must not leave it to the library's next
// call. Needs <cublas_v2.h>.
#pragma once

namespace farlane::client::cudax::cublas {

// As far as it is known here; told once.
cublasStatus_t earlier_status();
// After the server has made what was posted so far, which this waits for (not for the device):
// the status of one of those calls that failed, or else of the question itself. `asker` is the
// function that asks; it lives for ever.
cublasStatus_t settle(const char* asker);

}  // namespace farlane::client::cudax::cublas
