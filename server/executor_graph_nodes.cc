// Commands about the nodes of graphs: adding, changing, asking what they are made of.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "protocol/launch_attributes.h"
#include "server/executor.h"
#include "server/graph_parts.h"
#include "server/node_commands.h"

namespace farlane::server {

namespace {

CUDA_KERNEL_NODE_PARAMS kernel_params(const message::KernelNode& node, CUfunction function,
                                      void** packed) {
  CUDA_KERNEL_NODE_PARAMS params{};
  params.func = function;
  params.gridDimX = node.grid_x;
  params.gridDimY = node.grid_y;
  params.gridDimZ = node.grid_z;
  params.blockDimX = node.block_x;
  params.blockDimY = node.block_y;
  params.blockDimZ = node.block_z;
  params.sharedMemBytes = node.shared_bytes;
  params.extra = packed;
  return params;
}

// Slices are whole rows in the driver's way to say it. False: these are not.
bool copy_box(const message::CopyNode& node, CUDA_MEMCPY3D* box) {
  box->srcMemoryType = box->dstMemoryType = CU_MEMORYTYPE_DEVICE;
  box->srcDevice = node.from;
  box->dstDevice = node.to;
  box->WidthInBytes = node.width;
  box->Height = node.height;
  box->Depth = node.depth;
  if (node.height == 1 && node.depth == 1) return true;
  box->srcPitch = node.from_pitch;
  box->dstPitch = node.to_pitch;
  if (node.depth == 1) return true;
  if (node.from_pitch == 0 || node.to_pitch == 0 || node.from_slice % node.from_pitch != 0 ||
      node.to_slice % node.to_pitch != 0) {
    return false;
  }
  box->srcHeight = node.from_slice / node.from_pitch;
  box->dstHeight = node.to_slice / node.to_pitch;
  return true;
}

}  // namespace

// The node with a number, of a graph whose context is made current.
Graph* Executor::find_node(const RecordHeader& header, protocol::GraphId id, uint32_t number,
                           CUgraphNode* node, CUresult* result) {
  Graph* graph = find_graph(header, id, result);
  if (graph == nullptr) return nullptr;
  *node = graph->node(number);
  if (*node != nullptr) return graph;
  *result = CUDA_ERROR_INVALID_VALUE;
  return nullptr;
}

// An event of a child graph node's inside is its parent's, too.
void Executor::add_event(Graph* graph, const GraphEvent& event) {
  put_event(&graph->events, event);
  while (graph->parent && graphs_.find(*graph->parent, &graph) == Lookup::kLive) {
    put_event(&graph->events, event);
  }
}

bool Executor::on(const RecordHeader& header, const message::KernelNode& node) {
  CUresult result = CUDA_SUCCESS;
  const Kernel* kernel = find_kernel(header, node.kernel, &result);
  if (end_ != SessionEnd::kNotYet) return false;
  if (kernel != nullptr && node.params.size() != kernel->param_bytes) {
    result = CUDA_ERROR_INVALID_VALUE;
  }
  size_t bytes = node.params.size();
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, const_cast<std::byte*>(node.params.data()),
                   CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END};
  const CUDA_KERNEL_NODE_PARAMS params =
      kernel_params(node, kernel == nullptr ? nullptr : kernel->function,
                    bytes == 0 ? nullptr : static_cast<void**>(extra));
  return put_node(
      header, node, result,
      [&](const Graph& graph, const CUgraphNode* on, size_t count, CUgraphNode* out) {
        return driver_.cuGraphAddKernelNode(out, graph.handle, on, count, &params);
      },
      [&](const Graph&, CUgraphNode one) {
        return driver_.cuGraphKernelNodeSetParams(one, &params);
      },
      [&](const ExecPlace& exec, CUgraphNode one) {
        return driver_.cuGraphExecKernelNodeSetParams(exec.handle, one, &params);
      });
}

bool Executor::on(const RecordHeader& header, const message::CopyNode& node) {
  CUresult result = CUDA_SUCCESS;
  CUDA_MEMCPY3D box{};
  const auto may_touch_box = [&](uint64_t address, uint64_t pitch, uint64_t slice) {
    for (uint64_t i = 0; i < node.depth; ++i) {
      if (slice != 0 && i > (UINT64_MAX - address) / slice) return false;
      if (!may_touch(address + i * slice, pitch, node.width, node.height)) return false;
    }
    return true;
  };
  constexpr uint64_t kDepthMax = 1 << 16;  // the driver's own limit is below
  if (node.width == 0 || node.height == 0 || node.depth == 0 || node.depth > kDepthMax ||
      !copy_box(node, &box) || !may_touch_box(node.to, node.to_pitch, node.to_slice) ||
      !may_touch_box(node.from, node.from_pitch, node.from_slice)) {
    result = CUDA_ERROR_INVALID_VALUE;
  }
  return put_node(
      header, node, result,
      [&](const Graph& graph, const CUgraphNode* on, size_t count, CUgraphNode* out) {
        return driver_.cuGraphAddMemcpyNode(out, graph.handle, on, count, &box,
                                            graph.device->context());
      },
      [&](const Graph&, CUgraphNode one) { return driver_.cuGraphMemcpyNodeSetParams(one, &box); },
      [&](const ExecPlace& exec, CUgraphNode one) {
        const CUresult changed =
            driver_.cuGraphExecMemcpyNodeSetParams(exec.handle, one, &box, exec.device->context());
        if (changed == CUDA_SUCCESS && exec.parts != nullptr) {
          exec.parts->copy_changed(node.node, box);
        }
        return changed;
      });
}

bool Executor::on(const RecordHeader& header, const message::FillNode& node) {
  CUresult result = CUDA_SUCCESS;
  const bool countable = node.element_bytes != 0 && node.width <= UINT64_MAX / 4;
  if ((node.element_bytes != 1 && node.element_bytes != 2 && node.element_bytes != 4) ||
      !countable || !may_touch(node.to, node.pitch, node.width * node.element_bytes, node.height)) {
    result = CUDA_ERROR_INVALID_VALUE;
  }
  CUDA_MEMSET_NODE_PARAMS params{};
  params.dst = node.to;
  params.pitch = node.pitch;
  params.value = node.value;
  params.elementSize = node.element_bytes;
  params.width = node.width;
  params.height = node.height;
  return put_node(
      header, node, result,
      [&](const Graph& graph, const CUgraphNode* on, size_t count, CUgraphNode* out) {
        return driver_.cuGraphAddMemsetNode(out, graph.handle, on, count, &params,
                                            graph.device->context());
      },
      [&](const Graph&, CUgraphNode one) {
        return driver_.cuGraphMemsetNodeSetParams(one, &params);
      },
      [&](const ExecPlace& exec, CUgraphNode one) {
        return driver_.cuGraphExecMemsetNodeSetParams(exec.handle, one, &params,
                                                      exec.device->context());
      });
}

bool Executor::on(const RecordHeader& header, const message::EventNode& node) {
  CUresult result = CUDA_SUCCESS;
  Event* event = find_event(header, node.event, &result);
  if (end_ != SessionEnd::kNotYet) return false;
  GraphEvent held;
  if (event != nullptr) {
    event->is_in_graph = true;
    held = {event->driver, node.event.index(), node.wait != 0, node.graph.bits(), node.node};
  }
  const CUevent handle = held.driver ? held.driver.handle() : nullptr;
  const bool waits = node.wait != 0;
  return put_node(
      header, node, result,
      [&](const Graph& graph, const CUgraphNode* on, size_t count, CUgraphNode* out) {
        return waits ? driver_.cuGraphAddEventWaitNode(out, graph.handle, on, count, handle)
                     : driver_.cuGraphAddEventRecordNode(out, graph.handle, on, count, handle);
      },
      [&](const Graph&, CUgraphNode one) {
        return waits ? driver_.cuGraphEventWaitNodeSetEvent(one, handle)
                     : driver_.cuGraphEventRecordNodeSetEvent(one, handle);
      },
      [&](const ExecPlace& exec, CUgraphNode one) {
        if (exec.parts != nullptr) exec.parts->event_changed(exec.number, handle);
        return waits ? driver_.cuGraphExecEventWaitNodeSetEvent(exec.handle, one, handle)
                     : driver_.cuGraphExecEventRecordNodeSetEvent(exec.handle, one, handle);
      },
      held);
}

bool Executor::on(const RecordHeader& header, const message::ChildNode& node) {
  CUresult result = CUDA_SUCCESS;
  const Graph* child = find_graph(header, node.child, &result);
  if (end_ != SessionEnd::kNotYet) return false;
  const CUgraph inside = child == nullptr ? nullptr : child->handle;
  std::vector<GraphEvent> events;
  if (child != nullptr) events = child->events;
  const bool done = put_node(
      header, node, result,
      [&](const Graph& graph, const CUgraphNode* on, size_t count, CUgraphNode* out) {
        return driver_.cuGraphAddChildGraphNode(out, graph.handle, on, count, inside);
      },
      [&](const Graph&, CUgraphNode) { return CUDA_ERROR_NOT_SUPPORTED; },
      [&](const ExecPlace& exec, CUgraphNode one) {
        return driver_.cuGraphExecChildGraphNodeSetParams(exec.handle, one, inside);
      });
  const bool in_exec = node.how == static_cast<uint32_t>(NodeChange::kInExec);
  Graph* parent = nullptr;
  GraphExec* exec = nullptr;
  if (in_exec && execs_.find(node.exec, &exec) != Lookup::kLive) exec = nullptr;
  if (!in_exec && graphs_.find(node.graph, &parent) != Lookup::kLive) parent = nullptr;
  for (GraphEvent& event : events) {
    event.graph = 0;  // the child's nodes are not the original's
    if (exec != nullptr) put_event(&exec->events, event);
    if (parent != nullptr) add_event(parent, event);
  }
  return done;
}

bool Executor::on(const RecordHeader& header, const message::EmptyNode& node) {
  return put_node(
      header, NewNode{node.graph, {}, node.node, 0, node.dependencies}, CUDA_SUCCESS,
      [&](const Graph& graph, const CUgraphNode* on, size_t count, CUgraphNode* out) {
        return driver_.cuGraphAddEmptyNode(out, graph.handle, on, count);
      },
      [](const Graph&, CUgraphNode) { return CUDA_ERROR_INVALID_VALUE; },
      [](const ExecPlace&, CUgraphNode) { return CUDA_ERROR_INVALID_VALUE; });
}

bool Executor::on(const RecordHeader& header, const message::GraphEdges& edges) {
  CUresult result = CUDA_SUCCESS;
  const Graph* graph = find_graph(header, edges.graph, &result);
  std::vector<CUgraphNode> from;
  std::vector<CUgraphNode> to;
  std::vector<CUgraphEdgeData> data;
  bool has_data = false;
  for (const message::GraphEdge& edge : edges.edges) {
    if (graph == nullptr) break;
    from.push_back(graph->node(edge.from));
    to.push_back(graph->node(edge.to));
    data.push_back(edge_data_of(edge.data));
    has_data |= edge.data != 0;
    if (from.back() == nullptr || to.back() == nullptr) result = CUDA_ERROR_INVALID_VALUE;
  }
  if (graph != nullptr && result == CUDA_SUCCESS) {
    const auto change =
        edges.remove != 0 ? driver_.cuGraphRemoveDependencies : driver_.cuGraphAddDependencies;
    result = change(graph->handle, from.data(), to.data(), has_data ? data.data() : nullptr,
                    from.size());
  }
  return posted(header, result, [&] { return describe(edges.graph); });
}

bool Executor::on(const RecordHeader& header, const message::NodeDestroy& destroy) {
  CUresult result = CUDA_SUCCESS;
  CUgraphNode node = nullptr;
  Graph* graph = find_node(header, destroy.graph, destroy.node, &node, &result);
  if (graph != nullptr) {
    result = driver_.cuGraphDestroyNode(node);
    graph->forget(destroy.node);
  }
  return posted(header, result, [&] {
    return fmt::format("node {} of {}", destroy.node, describe(destroy.graph));
  });
}

bool Executor::on(const RecordHeader& header, const message::NodeEnable& enable) {
  CUresult result = CUDA_SUCCESS;
  CUgraphNode node = nullptr;
  const GraphExec* exec = nullptr;
  if (find_node(header, enable.graph, enable.node, &node, &result) != nullptr) {
    exec = find_exec(header, enable.exec, &result);
  }
  if (exec != nullptr) {
    ExecPlace place;
    result = place.find(*exec, enable.node, &node);
    if (result == CUDA_SUCCESS) {
      result = driver_.cuGraphNodeSetEnabled(place.handle, node, enable.enabled);
    }
  }
  return posted(header, result,
                [&] { return fmt::format("node {} of {}", enable.node, describe(enable.exec)); });
}

bool Executor::on(const RecordHeader& header, const message::NodeAttribute& attribute) {
  CUresult result = CUDA_SUCCESS;
  CUgraphNode node = nullptr;
  if (find_node(header, attribute.graph, attribute.node, &node, &result) != nullptr) {
    CUkernelNodeAttrValue value{};
    static_assert(sizeof value == sizeof attribute.value);
    std::memcpy(&value, attribute.value.data(), sizeof value);
    result = protocol::is_plain_launch_attribute(attribute.id)
                 ? driver_.cuGraphKernelNodeSetAttribute(
                       node, static_cast<CUkernelNodeAttrID>(attribute.id), &value)
                 : CUDA_ERROR_NOT_SUPPORTED;
  }
  return posted(header, result, [&] {
    return fmt::format("attribute {} of node {} of {}", attribute.id, attribute.node,
                       describe(attribute.graph));
  });
}

bool Executor::on(const RecordHeader& header, const message::NodeAttributesCopy& copy) {
  CUresult result = CUDA_SUCCESS;
  CUgraphNode to = nullptr;
  CUgraphNode from = nullptr;
  if (find_node(header, copy.to, copy.to_node, &to, &result) != nullptr &&
      find_node(header, copy.from, copy.from_node, &from, &result) != nullptr) {
    result = driver_.cuGraphKernelNodeCopyAttributes(to, from);
  }
  return posted(header, result,
                [&] { return fmt::format("node {} of {}", copy.to_node, describe(copy.to)); });
}

// ---- questions

bool Executor::on(const RecordHeader& header, const message::KernelNodeGet& get) {
  message::KernelNodeGetReply reply;
  std::vector<std::byte> packed;
  CUresult result = CUDA_SUCCESS;
  CUgraphNode node = nullptr;
  CUDA_KERNEL_NODE_PARAMS params{};
  if (find_node(header, get.graph, get.node, &node, &result) != nullptr) {
    result = driver_.cuGraphKernelNodeGetParams(node, &params);
  }
  if (node != nullptr && result == CUDA_SUCCESS && params.func == nullptr &&
      params.kern != nullptr && driver_.cuKernelGetFunction != nullptr) {
    result = driver_.cuKernelGetFunction(&params.func, params.kern);
  }
  if (node != nullptr && result == CUDA_SUCCESS) {
    kernels_.for_each([&](protocol::KernelId id, const Kernel& kernel) {
      if (kernel.function == params.func) reply.kernel = id.bits();
    });
    reply.grid_x = params.gridDimX;
    reply.grid_y = params.gridDimY;
    reply.grid_z = params.gridDimZ;
    reply.block_x = params.blockDimX;
    reply.block_y = params.blockDimY;
    reply.block_z = params.blockDimZ;
    reply.shared_bytes = params.sharedMemBytes;
    size_t offset = 0;
    size_t bytes = 0;
    for (size_t i = 0; params.kernelParams != nullptr &&
                       driver_.cuFuncGetParamInfo(params.func, i, &offset, &bytes) == CUDA_SUCCESS;
         ++i) {
      packed.resize(offset + bytes);
      std::memcpy(packed.data() + offset, params.kernelParams[i], bytes);
    }
    for (void** extra = params.extra; extra != nullptr && *extra != CU_LAUNCH_PARAM_END;
         extra += 2) {
      if (*extra == CU_LAUNCH_PARAM_BUFFER_SIZE) {
        packed.resize(*static_cast<const size_t*>(extra[1]));
      }
    }
    for (void** extra = params.extra; extra != nullptr && *extra != CU_LAUNCH_PARAM_END;
         extra += 2) {
      if (*extra == CU_LAUNCH_PARAM_BUFFER_POINTER) {
        std::memcpy(packed.data(), extra[1], packed.size());
      }
    }
    reply.params = packed;
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::CopyNodeGet& get) {
  message::CopyNodeGetReply reply;
  CUresult result = CUDA_SUCCESS;
  CUgraphNode node = nullptr;
  CUDA_MEMCPY3D box{};
  if (find_node(header, get.graph, get.node, &node, &result) != nullptr) {
    result = driver_.cuGraphMemcpyNodeGetParams(node, &box);
  }
  if (node != nullptr && result == CUDA_SUCCESS) {
    reply.to_pitch = box.dstPitch;
    reply.to_slice = box.dstPitch * box.dstHeight;
    reply.from_pitch = box.srcPitch;
    reply.from_slice = box.srcPitch * box.srcHeight;
    reply.to =
        box.dstDevice + box.dstXInBytes + box.dstY * reply.to_pitch + box.dstZ * reply.to_slice;
    reply.from =
        box.srcDevice + box.srcXInBytes + box.srcY * reply.from_pitch + box.srcZ * reply.from_slice;
    reply.width = box.WidthInBytes;
    reply.height = box.Height;
    reply.depth = box.Depth;
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::FillNodeGet& get) {
  message::FillNodeGetReply reply;
  CUresult result = CUDA_SUCCESS;
  CUgraphNode node = nullptr;
  CUDA_MEMSET_NODE_PARAMS params{};
  if (find_node(header, get.graph, get.node, &node, &result) != nullptr) {
    result = driver_.cuGraphMemsetNodeGetParams(node, &params);
  }
  if (node != nullptr && result == CUDA_SUCCESS) {
    reply.to = params.dst;
    reply.pitch = params.pitch;
    reply.value = params.value;
    reply.element_bytes = params.elementSize;
    reply.width = params.width;
    reply.height = params.height;
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::EventNodeGet& get) {
  message::EventNodeGetReply reply;
  CUresult result = CUDA_SUCCESS;
  CUgraphNode node = nullptr;
  CUevent handle = nullptr;
  if (find_node(header, get.graph, get.node, &node, &result) != nullptr) {
    CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
    result = driver_.cuGraphNodeGetType(node, &type);
    if (result == CUDA_SUCCESS) {
      result = type == CU_GRAPH_NODE_TYPE_WAIT_EVENT
                   ? driver_.cuGraphEventWaitNodeGetEvent(node, &handle)
                   : driver_.cuGraphEventRecordNodeGetEvent(node, &handle);
    }
  }
  if (handle != nullptr && result == CUDA_SUCCESS) {
    events_.for_each([&](protocol::EventId id, const Event& event) {
      if (event.driver.handle() == handle) reply.event = id.bits();
    });
  }
  return answer(header.sequence, reply, result);
}

bool Executor::on(const RecordHeader& header, const message::NodeAttributeGet& get) {
  message::NodeAttributeGetReply reply;
  CUresult result = CUDA_SUCCESS;
  CUgraphNode node = nullptr;
  if (find_node(header, get.graph, get.node, &node, &result) != nullptr) {
    CUkernelNodeAttrValue value{};
    result = protocol::is_plain_launch_attribute(get.id)
                 ? driver_.cuGraphKernelNodeGetAttribute(
                       node, static_cast<CUkernelNodeAttrID>(get.id), &value)
                 : CUDA_ERROR_NOT_SUPPORTED;
    std::memcpy(reply.value.data(), &value, sizeof value);
  }
  return answer(header.sequence, reply, result);
}

}  // namespace farlane::server
