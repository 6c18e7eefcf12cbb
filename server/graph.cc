#include "server/graph.h"

namespace farlane::server {

void put_event(std::vector<GraphEvent>* events, GraphEvent event) {
  std::erase_if(*events, [&](const GraphEvent& other) {
    return other.graph == event.graph &&
           (event.graph != 0 ? other.node == event.node
                             : other.driver.handle() == event.driver.handle() &&
                                   other.index == event.index && other.waits == event.waits);
  });
  events->push_back(std::move(event));
}

CUresult Graph::number_new_nodes(const DriverTable& driver) {
  std::vector<CUgraphNode> all;
  const CUresult result = list_nodes(driver, handle, &all);
  if (result != CUDA_SUCCESS) return result;
  for (CUgraphNode one : all) {
    if (!numbers.contains(one)) add(one);
  }
  return CUDA_SUCCESS;
}

CUresult list_nodes(const DriverTable& driver, CUgraph graph, std::vector<CUgraphNode>* nodes) {
  size_t count = 0;
  CUresult result = driver.cuGraphGetNodes(graph, nullptr, &count);
  nodes->resize(count);
  if (result == CUDA_SUCCESS && count != 0) {
    result = driver.cuGraphGetNodes(graph, nodes->data(), &count);
    nodes->resize(count);
  }
  return result;
}

CUresult move_stand_ins(const DriverTable& driver, CUgraph graph,
                        std::span<const protocol::message::StandInMove> moves) {
  // False: it is in none of them, or not all of what is copied there is.
  const auto move = [&](CUdeviceptr* address, uint64_t bytes) {
    for (const auto& one : moves) {
      const uint64_t offset = *address - one.from;
      if (offset >= one.bytes || bytes > one.bytes - offset) continue;
      *address = one.to + offset;
      return true;
    }
    return false;
  };
  const auto span_bytes = [](const CUDA_MEMCPY3D& box, size_t pitch, size_t height) {
    return pitch * height * (box.Depth - 1) + pitch * (box.Height - 1) + box.WidthInBytes;
  };
  std::vector<CUgraphNode> nodes;
  CUresult result = list_nodes(driver, graph, &nodes);
  for (size_t i = 0; result == CUDA_SUCCESS && i < nodes.size(); ++i) {
    CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
    result = driver.cuGraphNodeGetType(nodes[i], &type);
    if (result == CUDA_SUCCESS && type == CU_GRAPH_NODE_TYPE_GRAPH) {
      CUgraph child = nullptr;
      result = driver.cuGraphChildGraphNodeGetGraph(nodes[i], &child);
      if (result == CUDA_SUCCESS) result = move_stand_ins(driver, child, moves);
    } else if (result == CUDA_SUCCESS && type == CU_GRAPH_NODE_TYPE_MEMCPY) {
      CUDA_MEMCPY3D box{};
      result = driver.cuGraphMemcpyNodeGetParams(nodes[i], &box);
      if (result != CUDA_SUCCESS) break;
      bool moved = move(&box.srcDevice, span_bytes(box, box.srcPitch, box.srcHeight));
      moved |= move(&box.dstDevice, span_bytes(box, box.dstPitch, box.dstHeight));
      if (moved) result = driver.cuGraphMemcpyNodeSetParams(nodes[i], &box);
    }
  }
  return result;
}

CUgraphEdgeData edge_data_of(uint32_t bits) {
  CUgraphEdgeData data{};
  data.from_port = static_cast<unsigned char>(bits);
  data.to_port = static_cast<unsigned char>(bits >> 8);
  data.type = static_cast<unsigned char>(bits >> 16);
  return data;
}

uint32_t bits_of(const CUgraphEdgeData& data) {
  return uint32_t{data.from_port} | uint32_t{data.to_port} << 8 | uint32_t{data.type} << 16;
}

bool Dependencies::read(const Graph& graph,
                        std::span<const protocol::message::GraphDependency> list) {
  for (const auto& one : list) {
    CUgraphNode node = graph.node(one.node);
    if (node == nullptr) return false;
    nodes.push_back(node);
    data.push_back(edge_data_of(one.data));
    has_data |= one.data != 0;
  }
  return true;
}

bool has_graphs(const DriverTable& driver) {
  return driver.cuStreamBeginCapture != nullptr && driver.cuStreamEndCapture != nullptr &&
         driver.cuStreamGetCaptureInfo != nullptr && driver.cuGraphCreate != nullptr &&
         driver.cuGraphDestroy != nullptr && driver.cuGraphClone != nullptr &&
         driver.cuGraphNodeFindInClone != nullptr && driver.cuGraphGetNodes != nullptr &&
         driver.cuGraphGetEdges != nullptr && driver.cuGraphNodeGetType != nullptr &&
         driver.cuGraphAddDependencies != nullptr && driver.cuGraphRemoveDependencies != nullptr &&
         driver.cuGraphDestroyNode != nullptr && driver.cuGraphAddKernelNode != nullptr &&
         driver.cuGraphKernelNodeGetParams != nullptr &&
         driver.cuGraphKernelNodeSetParams != nullptr && driver.cuGraphAddMemcpyNode != nullptr &&
         driver.cuGraphMemcpyNodeGetParams != nullptr &&
         driver.cuGraphMemcpyNodeSetParams != nullptr && driver.cuGraphAddMemsetNode != nullptr &&
         driver.cuGraphMemsetNodeGetParams != nullptr &&
         driver.cuGraphMemsetNodeSetParams != nullptr &&
         driver.cuGraphAddEventRecordNode != nullptr &&
         driver.cuGraphEventRecordNodeSetEvent != nullptr &&
         driver.cuGraphEventRecordNodeGetEvent != nullptr &&
         driver.cuGraphAddEventWaitNode != nullptr &&
         driver.cuGraphEventWaitNodeSetEvent != nullptr &&
         driver.cuGraphEventWaitNodeGetEvent != nullptr &&
         driver.cuGraphAddChildGraphNode != nullptr &&
         driver.cuGraphChildGraphNodeGetGraph != nullptr && driver.cuGraphAddEmptyNode != nullptr &&
         driver.cuGraphKernelNodeGetAttribute != nullptr &&
         driver.cuGraphKernelNodeSetAttribute != nullptr &&
         driver.cuGraphKernelNodeCopyAttributes != nullptr &&
         driver.cuGraphInstantiateWithParams != nullptr && driver.cuGraphLaunch != nullptr &&
         driver.cuGraphUpload != nullptr && driver.cuGraphExecDestroy != nullptr &&
         driver.cuGraphExecUpdate != nullptr && driver.cuGraphExecKernelNodeSetParams != nullptr &&
         driver.cuGraphExecMemcpyNodeSetParams != nullptr &&
         driver.cuGraphExecMemsetNodeSetParams != nullptr &&
         driver.cuGraphExecEventRecordNodeSetEvent != nullptr &&
         driver.cuGraphExecEventWaitNodeSetEvent != nullptr &&
         driver.cuGraphExecChildGraphNodeSetParams != nullptr &&
         driver.cuGraphNodeSetEnabled != nullptr && driver.cuGraphDebugDotPrint != nullptr;
}

}  // namespace farlane::server
