// A core without graphs and compiler options: what the façades' tests link, which use none.
#include "client/core/graph_api.h"
#include "client/core/jit.h"
#include "client/cudart/testing/fake_core.h"

namespace farlane::client {

CUresult capture_mode_exchange(CUstreamCaptureMode*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult capture_begin(CUstream, CUstreamCaptureMode) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult capture_begin_to_graph(CUstream, CUgraph, std::span<const Dependency>,
                                CUstreamCaptureMode) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult capture_end(CUstream, CUgraph*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult capture_facts(CUstream, CaptureFacts*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult capture_dependencies(CUstream, std::vector<Dependency>*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult capture_update_dependencies(CUstream, std::span<const Dependency>, unsigned) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_create(int, CUgraph*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_destroy(CUgraph) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_clone(CUgraph, CUgraph*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_node_count(CUgraph, size_t*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_nodes(CUgraph, std::vector<CUgraphNode>*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_root_nodes(CUgraph, std::vector<CUgraphNode>*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_edges(CUgraph, std::vector<Edge>*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_add_edges(CUgraph, std::span<const Edge>) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_remove_edges(CUgraph, std::span<const Edge>) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_dot(CUgraph, unsigned, std::string*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_put_kernel(const NodePlace&, CUfunction, const Launch&) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_put_copy(const NodePlace&, const Copy&) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_put_fill(const NodePlace&, CUdeviceptr, size_t, uint32_t, unsigned, size_t, size_t) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_add_allocation(const NodePlace&, int, size_t, std::vector<CUmemAccessDesc>,
                             CUdeviceptr*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_add_free(const NodePlace&, CUdeviceptr) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_memory(CUgraphNode, CUDA_MEM_ALLOC_NODE_PARAMS*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
bool is_graph_memory(CUdeviceptr) {
  return false;
}
CUresult graph_memory_attribute(int, CUgraphMem_attribute, uint64_t*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_memory_reset(int, CUgraphMem_attribute) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_put_host(const NodePlace&, CUhostFn, void*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_host(CUgraphNode, CUhostFn*, void**) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult launch_host_function(CUstream stream, CUhostFn function, void* data) {
  return host_function(stream, [=](CUresult status) {
    if (status == CUDA_SUCCESS) {
      function(data);
    }
  });
}
CUresult node_put_event(const NodePlace&, CUevent, bool) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_put_child(const NodePlace&, CUgraph) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_add_empty(const NodePlace&) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_destroy(CUgraphNode) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_type(CUgraphNode, CUgraphNodeType*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_dependencies(CUgraphNode, std::vector<Edge>*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_dependents(CUgraphNode, std::vector<Edge>*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_find_in_clone(CUgraphNode, CUgraph, CUgraphNode*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_kernel(CUgraphNode, CUfunction*, Launch*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_copy(CUgraphNode, Copy*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_fill(CUgraphNode, CUDA_MEMSET_NODE_PARAMS*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_event(CUgraphNode, CUevent*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_child(CUgraphNode, CUgraph*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_attribute(CUgraphNode, CUkernelNodeAttrID, CUkernelNodeAttrValue*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_set_attribute(CUgraphNode, CUkernelNodeAttrID, const CUkernelNodeAttrValue&) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult node_copy_attributes(CUgraphNode, CUgraphNode) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_instantiate(CUgraph, uint64_t, CUgraphExec*, CUgraphInstantiateResult*,
                           CUgraphNode*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult exec_destroy(CUgraphExec) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult exec_launch(CUgraphExec, CUstream) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult exec_upload(CUgraphExec, CUstream) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult exec_update(CUgraphExec, CUgraph, CUgraphExecUpdateResultInfo*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult exec_flags(CUgraphExec, uint64_t*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult exec_enable_node(CUgraphExec, CUgraphNode, bool) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult exec_node_enabled(CUgraphExec, CUgraphNode, bool*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult user_object_create(void*, CUhostFn, unsigned, CUuserObject*) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult user_object_retain(CUuserObject, unsigned) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult user_object_release(CUuserObject, unsigned) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_retain_object(CUgraph, CUuserObject, unsigned, bool) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult graph_release_object(CUgraph, CUuserObject, unsigned) {
  return CUDA_ERROR_NOT_SUPPORTED;
}

CUresult library_load_with(std::span<const void* const> images, bool copy,
                           std::vector<JitOption> options, CUlibrary* library) {
  fake_core().jit_options = std::move(options);
  return library_load(images, copy, library);
}
CUresult module_load_with(int device, std::span<const void* const> images,
                          std::span<const JitOption>, CUmodule* module, std::string* log) {
  return module_load(device, images, module, log);
}
CUresult module_jit_outcome(CUmodule, JitOutcome* outcome) {
  *outcome = {1.5f, 128};
  return CUDA_SUCCESS;
}

}  // namespace farlane::client
