#include "server/graph.h"

namespace farlane::server {

CUresult Graph::number_new_nodes(const DriverTable& driver) {
  size_t count = 0;
  CUresult result = driver.cuGraphGetNodes(handle, nullptr, &count);
  if (result != CUDA_SUCCESS || count == 0) return result;
  std::vector<CUgraphNode> all(count);
  result = driver.cuGraphGetNodes(handle, all.data(), &count);
  if (result != CUDA_SUCCESS) return result;
  all.resize(count);
  for (CUgraphNode one : all) {
    if (!numbers.contains(one)) add(one);
  }
  return CUDA_SUCCESS;
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
