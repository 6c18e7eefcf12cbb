// Capture and graphs for the façades; as api.h, which it continues.
//
// A node is its graph and its number, and gets a handle when a program asks for one. What is asked
// about the shape of a graph or the parameters of a node is asked of the server: the driver there
// knows what a capture made. Adding nodes, launching, uploading and destroying are posted.
#pragma once

#include <cuda.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "client/core/api.h"

namespace farlane::client {

// ---- capture

FARLANE_CORE_API CUresult capture_mode_exchange(CUstreamCaptureMode* mode);
FARLANE_CORE_API CUresult capture_begin(CUstream stream, CUstreamCaptureMode mode);

struct Dependency {
  CUgraphNode node = nullptr;
  CUgraphEdgeData data{};
};
FARLANE_CORE_API CUresult capture_begin_to_graph(CUstream stream, CUgraph graph,
                                                 std::span<const Dependency> dependencies,
                                                 CUstreamCaptureMode mode);
FARLANE_CORE_API CUresult capture_end(CUstream stream, CUgraph* graph);

struct CaptureFacts {
  CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
  uint64_t id = 0;  // these two while it is active
  CUgraph graph = nullptr;
};
// No network.
FARLANE_CORE_API CUresult capture_facts(CUstream stream, CaptureFacts* facts);
// What the next captured node would depend on. They stay as they are until the thread's next call.
FARLANE_CORE_API CUresult capture_dependencies(CUstream stream,
                                               std::vector<Dependency>* dependencies);
FARLANE_CORE_API CUresult capture_update_dependencies(CUstream stream,
                                                      std::span<const Dependency> dependencies,
                                                      unsigned flags);

// In a stream, or as a node of its capture.
FARLANE_CORE_API CUresult launch_host_function(CUstream stream, CUhostFn function, void* data);

// ---- graphs

FARLANE_CORE_API CUresult graph_create(int device, CUgraph* graph);
FARLANE_CORE_API CUresult graph_destroy(CUgraph graph);
FARLANE_CORE_API CUresult graph_clone(CUgraph original, CUgraph* clone);
FARLANE_CORE_API CUresult graph_node_count(CUgraph graph, size_t* count);  // no network
FARLANE_CORE_API CUresult graph_nodes(CUgraph graph, std::vector<CUgraphNode>* nodes);
FARLANE_CORE_API CUresult graph_root_nodes(CUgraph graph, std::vector<CUgraphNode>* nodes);
struct Edge {
  CUgraphNode from = nullptr;
  CUgraphNode to = nullptr;
  CUgraphEdgeData data{};
};
FARLANE_CORE_API CUresult graph_edges(CUgraph graph, std::vector<Edge>* edges);
FARLANE_CORE_API CUresult graph_add_edges(CUgraph graph, std::span<const Edge> edges);
FARLANE_CORE_API CUresult graph_remove_edges(CUgraph graph, std::span<const Edge> edges);
// The driver's description as a Graphviz file's text.
FARLANE_CORE_API CUresult graph_dot(CUgraph graph, unsigned flags, std::string* text);

// ---- nodes

// Where a node's new parameters go: a new node of `graph` behind `dependencies` (*added gets its
// handle), an old node, or that node in an instance.
struct NodePlace {
  CUgraph graph = nullptr;
  std::span<const Dependency> dependencies;
  CUgraphNode* added = nullptr;
  CUgraphNode node = nullptr;
  CUgraphExec exec = nullptr;
};
FARLANE_CORE_API CUresult node_put_kernel(const NodePlace& place, CUfunction function,
                                          const Launch& launch);
// A host end is taken to be where CUDA finds it: see Copy.
FARLANE_CORE_API CUresult node_put_copy(const NodePlace& place, const Copy& copy);
FARLANE_CORE_API CUresult node_put_fill(const NodePlace& place, CUdeviceptr to, size_t pitch,
                                        uint32_t value, unsigned element_bytes, size_t width,
                                        size_t height);
FARLANE_CORE_API CUresult node_put_event(const NodePlace& place, CUevent event, bool wait);
// In an instance CUDA_ERROR_NOT_SUPPORTED where it or the child copies from or to host memory or
// calls the host.
FARLANE_CORE_API CUresult node_put_child(const NodePlace& place, CUgraph child);
// In an instance only what is called changes.
FARLANE_CORE_API CUresult node_put_host(const NodePlace& place, CUhostFn function, void* data);
// Memory of the device that is the program's from a launch on until it is freed; its address is the
// same every time.
FARLANE_CORE_API CUresult node_add_allocation(const NodePlace& place, int device, size_t bytes,
                                              std::vector<CUmemAccessDesc> access,
                                              CUdeviceptr* address);
FARLANE_CORE_API CUresult node_add_free(const NodePlace& place, CUdeviceptr address);
FARLANE_CORE_API CUresult node_add_empty(const NodePlace& place);
FARLANE_CORE_API CUresult node_destroy(CUgraphNode node);
FARLANE_CORE_API CUresult node_type(CUgraphNode node, CUgraphNodeType* type);
FARLANE_CORE_API CUresult node_dependencies(CUgraphNode node, std::vector<Edge>* edges);
FARLANE_CORE_API CUresult node_dependents(CUgraphNode node, std::vector<Edge>* edges);
FARLANE_CORE_API CUresult node_find_in_clone(CUgraphNode original, CUgraph clone,
                                             CUgraphNode* node);
// The parameters live until the node's are changed or asked for again. CUDA_ERROR_NOT_SUPPORTED:
// a library's kernel, which has no handle here.
FARLANE_CORE_API CUresult node_kernel(CUgraphNode node, CUfunction* function, Launch* launch);
FARLANE_CORE_API CUresult node_copy(CUgraphNode node, Copy* copy);
FARLANE_CORE_API CUresult node_fill(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS* params);
FARLANE_CORE_API CUresult node_host(CUgraphNode node, CUhostFn* function, void** data);
// Of nodes that allocate or free; the access list lives as long as the memory.
FARLANE_CORE_API CUresult node_memory(CUgraphNode node, CUDA_MEM_ALLOC_NODE_PARAMS* params);
FARLANE_CORE_API CUresult node_event(CUgraphNode node, CUevent* event);
FARLANE_CORE_API CUresult node_child(CUgraphNode node, CUgraph* graph);
FARLANE_CORE_API CUresult node_attribute(CUgraphNode node, CUkernelNodeAttrID id,
                                         CUkernelNodeAttrValue* value);
FARLANE_CORE_API CUresult node_set_attribute(CUgraphNode node, CUkernelNodeAttrID id,
                                             const CUkernelNodeAttrValue& value);
FARLANE_CORE_API CUresult node_copy_attributes(CUgraphNode to, CUgraphNode from);

// ---- instances

FARLANE_CORE_API CUresult graph_instantiate(CUgraph graph, uint64_t flags, CUgraphExec* exec,
                                            CUgraphInstantiateResult* outcome,
                                            CUgraphNode* error_node);
FARLANE_CORE_API CUresult exec_destroy(CUgraphExec exec);
FARLANE_CORE_API CUresult exec_launch(CUgraphExec exec, CUstream stream);  // [reports]
FARLANE_CORE_API CUresult exec_upload(CUgraphExec exec, CUstream stream);
FARLANE_CORE_API CUresult exec_update(CUgraphExec exec, CUgraph graph,
                                      CUgraphExecUpdateResultInfo* info);
FARLANE_CORE_API CUresult exec_flags(CUgraphExec exec, uint64_t* flags);
FARLANE_CORE_API CUresult exec_enable_node(CUgraphExec exec, CUgraphNode node, bool enabled);
FARLANE_CORE_API CUresult exec_node_enabled(CUgraphExec exec, CUgraphNode node, bool* enabled);

// ---- memory of graphs

FARLANE_CORE_API bool is_graph_memory(CUdeviceptr address);
FARLANE_CORE_API CUresult graph_memory_attribute(int device, CUgraphMem_attribute which,
                                                 uint64_t* value);
FARLANE_CORE_API CUresult graph_memory_reset(int device, CUgraphMem_attribute which);

// ---- user objects: counted here; the destructor runs here, when the last reference goes

FARLANE_CORE_API CUresult user_object_create(void* object, CUhostFn destroy, unsigned references,
                                             CUuserObject* handle);
FARLANE_CORE_API CUresult user_object_retain(CUuserObject handle, unsigned count);
FARLANE_CORE_API CUresult user_object_release(CUuserObject handle, unsigned count);
FARLANE_CORE_API CUresult graph_retain_object(CUgraph graph, CUuserObject handle, unsigned count,
                                              bool move);
FARLANE_CORE_API CUresult graph_release_object(CUgraph graph, CUuserObject handle, unsigned count);

}  // namespace farlane::client
