// cuGraphAdd*Node, what nodes are made of, and changing it in graphs and instances.
#include <algorithm>
#include <cstring>

#include "server/softcuda/driver_call.h"
#include "server/softcuda/driver_graph.h"
#include "server/softcuda/driver_module.h"
#include "server/softcuda/driver_stream.h"

using namespace farlane::softcuda;

namespace {

template <typename Body>
CUresult on_node(CUgraphNode handle, Body&& body) noexcept {
  return in_context([&](const ContextPtr& context) -> CUresult {
    const NodePtr node = Driver::instance().graph_nodes.find(handle);
    if (node == nullptr || node->graph == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    return body(context, node);
  });
}

// Of the type that the call is about.
template <typename What, typename Body>
CUresult on_node_of(CUgraphNode handle, Body&& body) noexcept {
  return on_node(handle, [&](const ContextPtr&, const NodePtr& node) -> CUresult {
    const auto lock = Scheduler::instance().lock();
    const What* what = std::get_if<What>(&node->work->what);
    return what == nullptr ? CUDA_ERROR_INVALID_VALUE : body(*node, *what);
  });
}

CUresult add(CUgraphNode* out, CUgraph handle, const CUgraphNode* dependencies, size_t count,
             Work work) {
  const auto graph = Driver::instance().graphs.find(handle);
  if (graph == nullptr || out == nullptr || (count != 0 && dependencies == nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  std::vector<GraphEdge> edges;
  for (size_t i = 0; i < count; ++i) {
    const NodePtr node = Driver::instance().graph_nodes.find(dependencies[i]);
    if (node == nullptr || node->graph != graph.get()) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    edges.push_back({node, {}});
  }
  const auto lock = Scheduler::instance().lock();
  *out = add_node(graph, std::move(work), std::move(edges))->handle;
  return CUDA_SUCCESS;
}

CUresult change(CUgraphNode handle, Work work) {
  return on_node(handle, [&](const ContextPtr&, const NodePtr& node) -> CUresult {
    const auto lock = Scheduler::instance().lock();
    if (node->work->type != work.type) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    node->work = std::make_shared<const Work>(std::move(work));
    return CUDA_SUCCESS;
  });
}

ExecObject::Node* find_node(ExecObject& exec, CUgraphNode handle) {
  for (ExecObject::Node& node : exec.nodes) {
    if (node.original->handle == handle) {
      return &node;
    }
  }
  return nullptr;
}

CUresult change_exec(CUgraphExec exec_handle, CUgraphNode handle, Work work) {
  const auto exec = Driver::instance().graph_execs.find(exec_handle);
  if (exec == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto lock = Scheduler::instance().lock();
  ExecObject::Node* node = find_node(*exec, handle);
  if (node == nullptr || node->work->type != work.type) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  node->work = std::make_shared<const Work>(std::move(work));
  return CUDA_SUCCESS;
}

CUresult kernel_work(const ContextPtr& context, const CUDA_KERNEL_NODE_PARAMS* params, Work* work) {
  if (params == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  Launch launch;
  launch.grid = {params->gridDimX, params->gridDimY, params->gridDimZ};
  launch.block = {params->blockDimX, params->blockDimY, params->blockDimZ};
  launch.shared_dynamic_bytes = params->sharedMemBytes;
  launch.params = params->kernelParams;
  launch.extra = params->extra;
  const CUfunction function =
      params->func != nullptr ? params->func : reinterpret_cast<CUfunction>(params->kern);
  KernelWork kernel;
  const CUresult result = check_launch(context, function, launch, &kernel, &work->run);
  work->type = CU_GRAPH_NODE_TYPE_KERNEL;
  work->what = kernel;
  return result;
}

CUresult side_of_request(CUmemorytype type, const void* host, CUdeviceptr device, uint64_t* address,
                         Side* side) {
  *side = type == CU_MEMORYTYPE_HOST ? Side::kHost : Side::kDevice;
  *address = type == CU_MEMORYTYPE_HOST ? reinterpret_cast<uint64_t>(host) : device;
  if (type == CU_MEMORYTYPE_UNIFIED) {
    *side = side_of(device);
  }
  return type == CU_MEMORYTYPE_ARRAY ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;
}

CUresult copy_work(const ContextPtr& context, const CUDA_MEMCPY3D* request, Work* work) {
  if (request == nullptr || request->WidthInBytes == 0 || request->Height == 0 ||
      request->Depth == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUDA_MEMCPY3D& r = *request;
  Copy copy;
  copy.width = r.WidthInBytes;
  copy.height = r.Height;
  copy.depth = r.Depth;
  copy.source_pitch = r.srcPitch;
  copy.source_slice = r.srcPitch * r.srcHeight;
  copy.destination_pitch = r.dstPitch;
  copy.destination_slice = r.dstPitch * r.dstHeight;
  CUresult result =
      side_of_request(r.srcMemoryType, r.srcHost, r.srcDevice, &copy.source, &copy.source_side);
  if (result == CUDA_SUCCESS) {
    result = side_of_request(r.dstMemoryType, r.dstHost, r.dstDevice, &copy.destination,
                             &copy.destination_side);
  }
  copy.source += r.srcXInBytes + r.srcY * copy.source_pitch + r.srcZ * copy.source_slice;
  copy.destination +=
      r.dstXInBytes + r.dstY * copy.destination_pitch + r.dstZ * copy.destination_slice;
  if (result == CUDA_SUCCESS) {
    result = check_copy(context, &copy, &work->run);
  }
  work->type = CU_GRAPH_NODE_TYPE_MEMCPY;
  work->what = copy;
  return result;
}

CUresult fill_work(const ContextPtr& context, const CUDA_MEMSET_NODE_PARAMS* params, Work* work) {
  if (params == nullptr || params->width == 0 || params->height == 0 ||
      (params->elementSize != 1 && params->elementSize != 2 && params->elementSize != 4)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const Fill fill{.destination = params->dst,
                  .pitch = params->pitch,
                  .width = params->width,
                  .height = params->height,
                  .value = params->value,
                  .element_bytes = params->elementSize};
  work->type = CU_GRAPH_NODE_TYPE_MEMSET;
  work->what = fill;
  return check_fill(context, fill, &work->run);
}

CUresult event_work(CUevent handle, CUgraphNodeType type, Work* work) {
  const auto event = Driver::instance().events.find(handle);
  if (event == nullptr) {
    return CUDA_ERROR_INVALID_HANDLE;
  }
  work->type = type;
  work->what = EventUse{event, handle};
  return CUDA_SUCCESS;
}

CUresult host_work(const CUDA_HOST_NODE_PARAMS* params, Work* work) {
  if (params == nullptr || params->fn == nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  work->type = CU_GRAPH_NODE_TYPE_HOST;
  work->what = HostCall{params->fn, params->userData};
  work->run = [fn = params->fn, data = params->userData] { fn(data); };
  return CUDA_SUCCESS;
}

// make(context, &work), then what is to be done with it.
template <typename Make, typename Put>
CUresult with_work(Make&& make, Put&& put) noexcept {
  return in_context([&](const ContextPtr& context) -> CUresult {
    Work work;
    const CUresult result = make(context, &work);
    return result == CUDA_SUCCESS ? put(std::move(work)) : result;
  });
}

CUresult get_event(CUgraphNode handle, CUgraphNodeType type, CUevent* event) {
  return on_node_of<EventUse>(handle, [&](GraphNode& node, const EventUse& use) -> CUresult {
    if (event == nullptr || node.work->type != type) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *event = use.handle;
    return CUDA_SUCCESS;
  });
}

CUresult edges(CUgraph handle, const CUgraphNode* from, const CUgraphNode* to,
               const CUgraphEdgeData* data, size_t count, bool remove) {
  return in_context([&](const ContextPtr&) -> CUresult {
    const auto graph = Driver::instance().graphs.find(handle);
    if (graph == nullptr || (count != 0 && (from == nullptr || to == nullptr))) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto lock = Scheduler::instance().lock();
    for (size_t i = 0; i < count; ++i) {
      const NodePtr one = Driver::instance().graph_nodes.find(from[i]);
      const NodePtr two = Driver::instance().graph_nodes.find(to[i]);
      if (one == nullptr || two == nullptr || one == two || one->graph != graph.get() ||
          two->graph != graph.get()) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      const auto there = std::find_if(two->dependencies.begin(), two->dependencies.end(),
                                      [&](const GraphEdge& edge) { return edge.from == one; });
      if ((there != two->dependencies.end()) != remove) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      if (remove) {
        two->dependencies.erase(there);
      } else {
        two->dependencies.push_back({one, data == nullptr ? CUgraphEdgeData{} : data[i]});
      }
    }
    return CUDA_SUCCESS;
  });
}

}  // namespace

extern "C" {

CUresult cuGraphAddKernelNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                 size_t count, const CUDA_KERNEL_NODE_PARAMS* params) {
  return with_work(
      [&](const ContextPtr& context, Work* work) { return kernel_work(context, params, work); },
      [&](Work work) { return add(node, graph, dependencies, count, std::move(work)); });
}
CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode node, const CUDA_KERNEL_NODE_PARAMS* params) {
  return with_work(
      [&](const ContextPtr& context, Work* work) { return kernel_work(context, params, work); },
      [&](Work work) { return change(node, std::move(work)); });
}
CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                           const CUDA_KERNEL_NODE_PARAMS* params) {
  return with_work(
      [&](const ContextPtr& context, Work* work) { return kernel_work(context, params, work); },
      [&](Work work) { return change_exec(exec, node, std::move(work)); });
}
CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode handle, CUDA_KERNEL_NODE_PARAMS* params) {
  return on_node_of<KernelWork>(handle, [&](GraphNode& node, const KernelWork& kernel) -> CUresult {
    if (params == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *params = {};
    params->func = kernel.handle;
    params->gridDimX = kernel.launch.grid.x;
    params->gridDimY = kernel.launch.grid.y;
    params->gridDimZ = kernel.launch.grid.z;
    params->blockDimX = kernel.launch.block.x;
    params->blockDimY = kernel.launch.block.y;
    params->blockDimZ = kernel.launch.block.z;
    params->sharedMemBytes = kernel.launch.shared_dynamic_bytes;
    std::shared_ptr<FunctionObject> function;
    const auto context = node.graph->context;
    const CUresult result = find_function(*context, kernel.handle, &function);
    if (result != CUDA_SUCCESS) {
      return result;
    }
    node.param_pointers.clear();
    for (const auto& param : function->info->params) {
      node.param_pointers.push_back(const_cast<std::byte*>(kernel.packed->data() + param.offset));
    }
    params->kernelParams = node.param_pointers.empty() ? nullptr : node.param_pointers.data();
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddMemcpyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                              size_t count, const CUDA_MEMCPY3D* params, CUcontext) {
  return with_work(
      [&](const ContextPtr& context, Work* work) { return copy_work(context, params, work); },
      [&](Work work) { return add(node, graph, dependencies, count, std::move(work)); });
}
CUresult cuGraphMemcpyNodeSetParams(CUgraphNode node, const CUDA_MEMCPY3D* params) {
  return with_work(
      [&](const ContextPtr& context, Work* work) { return copy_work(context, params, work); },
      [&](Work work) { return change(node, std::move(work)); });
}
CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CUDA_MEMCPY3D* params, CUcontext) {
  return with_work(
      [&](const ContextPtr& context, Work* work) { return copy_work(context, params, work); },
      [&](Work work) { return change_exec(exec, node, std::move(work)); });
}
CUresult cuGraphMemcpyNodeGetParams(CUgraphNode handle, CUDA_MEMCPY3D* params) {
  return on_node_of<Copy>(handle, [&](GraphNode&, const Copy& copy) -> CUresult {
    if (params == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *params = {};
    const auto rows = [](uint64_t slice, uint64_t pitch) { return pitch == 0 ? 0 : slice / pitch; };
    params->WidthInBytes = copy.width;
    params->Height = copy.height;
    params->Depth = copy.depth;
    params->srcPitch = copy.source_pitch;
    params->srcHeight = rows(copy.source_slice, copy.source_pitch);
    params->dstPitch = copy.destination_pitch;
    params->dstHeight = rows(copy.destination_slice, copy.destination_pitch);
    if (copy.source_side == Side::kDevice) {
      params->srcMemoryType = CU_MEMORYTYPE_DEVICE;
      params->srcDevice = copy.source;
    } else {
      params->srcMemoryType = CU_MEMORYTYPE_HOST;
      params->srcHost = reinterpret_cast<void*>(copy.source);
    }
    if (copy.destination_side == Side::kDevice) {
      params->dstMemoryType = CU_MEMORYTYPE_DEVICE;
      params->dstDevice = copy.destination;
    } else {
      params->dstMemoryType = CU_MEMORYTYPE_HOST;
      params->dstHost = reinterpret_cast<void*>(copy.destination);
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddMemsetNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                              size_t count, const CUDA_MEMSET_NODE_PARAMS* params, CUcontext) {
  return with_work(
      [&](const ContextPtr& context, Work* work) { return fill_work(context, params, work); },
      [&](Work work) { return add(node, graph, dependencies, count, std::move(work)); });
}
CUresult cuGraphMemsetNodeSetParams(CUgraphNode node, const CUDA_MEMSET_NODE_PARAMS* params) {
  return with_work(
      [&](const ContextPtr& context, Work* work) { return fill_work(context, params, work); },
      [&](Work work) { return change(node, std::move(work)); });
}
CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                        const CUDA_MEMSET_NODE_PARAMS* params, CUcontext) {
  return with_work(
      [&](const ContextPtr& context, Work* work) { return fill_work(context, params, work); },
      [&](Work work) { return change_exec(exec, node, std::move(work)); });
}
CUresult cuGraphMemsetNodeGetParams(CUgraphNode handle, CUDA_MEMSET_NODE_PARAMS* params) {
  return on_node_of<Fill>(handle, [&](GraphNode&, const Fill& fill) -> CUresult {
    if (params == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *params = {fill.destination,   fill.pitch, fill.value,
               fill.element_bytes, fill.width, fill.height};
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddHostNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                            size_t count, const CUDA_HOST_NODE_PARAMS* params) {
  return with_work(
      [&](const ContextPtr&, Work* work) { return host_work(params, work); },
      [&](Work work) { return add(node, graph, dependencies, count, std::move(work)); });
}
CUresult cuGraphHostNodeSetParams(CUgraphNode node, const CUDA_HOST_NODE_PARAMS* params) {
  return with_work([&](const ContextPtr&, Work* work) { return host_work(params, work); },
                   [&](Work work) { return change(node, std::move(work)); });
}
CUresult cuGraphExecHostNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                      const CUDA_HOST_NODE_PARAMS* params) {
  return with_work([&](const ContextPtr&, Work* work) { return host_work(params, work); },
                   [&](Work work) { return change_exec(exec, node, std::move(work)); });
}
CUresult cuGraphHostNodeGetParams(CUgraphNode handle, CUDA_HOST_NODE_PARAMS* params) {
  return on_node_of<HostCall>(handle, [&](GraphNode&, const HostCall& call) -> CUresult {
    if (params == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *params = {call.function, call.data};
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddEventRecordNode(CUgraphNode* node, CUgraph graph,
                                   const CUgraphNode* dependencies, size_t count, CUevent event) {
  return with_work(
      [&](const ContextPtr&, Work* work) {
        return event_work(event, CU_GRAPH_NODE_TYPE_EVENT_RECORD, work);
      },
      [&](Work work) { return add(node, graph, dependencies, count, std::move(work)); });
}
CUresult cuGraphAddEventWaitNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                 size_t count, CUevent event) {
  return with_work(
      [&](const ContextPtr&, Work* work) {
        return event_work(event, CU_GRAPH_NODE_TYPE_WAIT_EVENT, work);
      },
      [&](Work work) { return add(node, graph, dependencies, count, std::move(work)); });
}
CUresult cuGraphEventRecordNodeSetEvent(CUgraphNode node, CUevent event) {
  return with_work(
      [&](const ContextPtr&, Work* work) {
        return event_work(event, CU_GRAPH_NODE_TYPE_EVENT_RECORD, work);
      },
      [&](Work work) { return change(node, std::move(work)); });
}
CUresult cuGraphEventWaitNodeSetEvent(CUgraphNode node, CUevent event) {
  return with_work(
      [&](const ContextPtr&, Work* work) {
        return event_work(event, CU_GRAPH_NODE_TYPE_WAIT_EVENT, work);
      },
      [&](Work work) { return change(node, std::move(work)); });
}
CUresult cuGraphExecEventRecordNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event) {
  return with_work(
      [&](const ContextPtr&, Work* work) {
        return event_work(event, CU_GRAPH_NODE_TYPE_EVENT_RECORD, work);
      },
      [&](Work work) { return change_exec(exec, node, std::move(work)); });
}
CUresult cuGraphExecEventWaitNodeSetEvent(CUgraphExec exec, CUgraphNode node, CUevent event) {
  return with_work(
      [&](const ContextPtr&, Work* work) {
        return event_work(event, CU_GRAPH_NODE_TYPE_WAIT_EVENT, work);
      },
      [&](Work work) { return change_exec(exec, node, std::move(work)); });
}
CUresult cuGraphEventRecordNodeGetEvent(CUgraphNode node, CUevent* event) {
  return get_event(node, CU_GRAPH_NODE_TYPE_EVENT_RECORD, event);
}
CUresult cuGraphEventWaitNodeGetEvent(CUgraphNode node, CUevent* event) {
  return get_event(node, CU_GRAPH_NODE_TYPE_WAIT_EVENT, event);
}

CUresult cuGraphAddEmptyNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                             size_t count) {
  return with_work(
      [](const ContextPtr&, Work*) { return CUDA_SUCCESS; },
      [&](Work work) { return add(node, graph, dependencies, count, std::move(work)); });
}

CUresult cuGraphAddChildGraphNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* dependencies,
                                  size_t count, CUgraph child) {
  return with_work(
      [&](const ContextPtr&, Work* work) -> CUresult {
        const auto inside = Driver::instance().graphs.find(child);
        if (inside == nullptr || child == graph) {
          return CUDA_ERROR_INVALID_VALUE;
        }
        std::shared_ptr<GraphObject> clone;
        {
          const auto lock = Scheduler::instance().lock();
          clone = clone_graph(*inside);
        }
        clone->inside_node = true;
        clone->handle = Driver::instance().graphs.add(clone);
        work->type = CU_GRAPH_NODE_TYPE_GRAPH;
        work->what = clone;
        return CUDA_SUCCESS;
      },
      [&](Work work) { return add(node, graph, dependencies, count, std::move(work)); });
}
CUresult cuGraphChildGraphNodeGetGraph(CUgraphNode handle, CUgraph* graph) {
  return on_node_of<std::shared_ptr<GraphObject>>(
      handle, [&](GraphNode&, const std::shared_ptr<GraphObject>& inside) -> CUresult {
        if (graph == nullptr) {
          return CUDA_ERROR_INVALID_VALUE;
        }
        if (inside->handle == nullptr) {
          inside->handle = Driver::instance().graphs.add(inside);
        }
        *graph = inside->handle;
        return CUDA_SUCCESS;
      });
}
CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec exec_handle, CUgraphNode handle,
                                            CUgraph child) {
  return in_context([&](const ContextPtr&) -> CUresult {
    const auto exec = Driver::instance().graph_execs.find(exec_handle);
    const auto graph = Driver::instance().graphs.find(child);
    if (exec == nullptr || graph == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto lock = Scheduler::instance().lock();
    ExecObject::Node* node = find_node(*exec, handle);
    auto inside = instantiate(*graph);
    if (node == nullptr || node->work->type != CU_GRAPH_NODE_TYPE_GRAPH || !inside ||
        inside->size() != node->inside.size()) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    for (size_t i = 0; i < inside->size(); ++i) {
      if ((*inside)[i].dependencies != node->inside[i].dependencies ||
          (*inside)[i].work->type != node->inside[i].work->type) {
        return CUDA_ERROR_INVALID_VALUE;
      }
    }
    node->inside = std::move(*inside);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphNodeGetType(CUgraphNode handle, CUgraphNodeType* type) {
  return on_node(handle, [&](const ContextPtr&, const NodePtr& node) -> CUresult {
    if (type == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto lock = Scheduler::instance().lock();
    *type = node->work->type;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                   const CUgraphEdgeData* data, size_t count) {
  return edges(graph, from, to, data, count, false);
}
CUresult cuGraphRemoveDependencies_v2(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to,
                                      const CUgraphEdgeData* data, size_t count) {
  return edges(graph, from, to, data, count, true);
}

CUresult cuGraphDestroyNode(CUgraphNode handle) {
  return on_node(handle, [&](const ContextPtr&, const NodePtr& node) -> CUresult {
    const auto lock = Scheduler::instance().lock();
    for (const NodePtr& other : node->graph->nodes) {
      std::erase_if(other->dependencies, [&](const GraphEdge& edge) { return edge.from == node; });
    }
    std::erase(node->graph->nodes, node);
    node->graph = nullptr;
    node->dependencies.clear();
    Driver::instance().graph_nodes.take(handle);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphNodeSetEnabled(CUgraphExec exec_handle, CUgraphNode handle, unsigned int enabled) {
  return in_context([&](const ContextPtr&) -> CUresult {
    const auto exec = Driver::instance().graph_execs.find(exec_handle);
    if (exec == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto lock = Scheduler::instance().lock();
    ExecObject::Node* node = find_node(*exec, handle);
    if (node == nullptr || (node->work->type != CU_GRAPH_NODE_TYPE_KERNEL &&
                            node->work->type != CU_GRAPH_NODE_TYPE_MEMCPY &&
                            node->work->type != CU_GRAPH_NODE_TYPE_MEMSET)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    node->enabled = enabled != 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphKernelNodeSetAttribute(CUgraphNode handle, CUkernelNodeAttrID id,
                                       const CUkernelNodeAttrValue* value) {
  return on_node_of<KernelWork>(handle, [&](GraphNode& node, const KernelWork&) -> CUresult {
    if (value == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    node.attributes[id] = *value;  // hints, all of them, to this device
    return CUDA_SUCCESS;
  });
}
CUresult cuGraphKernelNodeGetAttribute(CUgraphNode handle, CUkernelNodeAttrID id,
                                       CUkernelNodeAttrValue* value) {
  return on_node_of<KernelWork>(handle, [&](GraphNode& node, const KernelWork&) -> CUresult {
    if (value == nullptr) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const auto found = node.attributes.find(id);
    *value = found == node.attributes.end() ? CUkernelNodeAttrValue{} : found->second;
    return CUDA_SUCCESS;
  });
}
CUresult cuGraphKernelNodeCopyAttributes(CUgraphNode to, CUgraphNode from) {
  const NodePtr source = Driver::instance().graph_nodes.find(from);
  return on_node_of<KernelWork>(to, [&](GraphNode& node, const KernelWork&) -> CUresult {
    if (source == nullptr || source->work->type != CU_GRAPH_NODE_TYPE_KERNEL) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    node.attributes = source->attributes;
    return CUDA_SUCCESS;
  });
}

}  // extern "C"
