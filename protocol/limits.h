// Every limit that a message is held to, with its unit and where it comes from. The generator takes
// the LIMIT of bytes<LIMIT>, string<LIMIT> and list<STRUCT, LIMIT> in api/wire.api from here.
// Decoding refuses what is over; encoding it is our own fault and trips a check, so whoever passes
// an application's value on compares it with the limit first.
#pragma once

#include <cstdint>

namespace farlane::protocol::limits {

// Bytes of one record, header included. A record is never split over frames, so this is the head of
// a transport frame (transport::kHeadBytesMax; a test in tests/ holds the two together).
inline constexpr uint32_t record_bytes_max = 256 * 1024;

// Bytes of one frame's body (transport::kBodyBytesMax); longer data goes in several commands.
inline constexpr uint32_t body_bytes_max = 8 * 1024 * 1024;

// Bytes of a copy's data inside the record instead of the body. A record with full inline data
// still leaves most of a frame's head to other commands.
inline constexpr uint32_t inline_bytes_max = 64 * 1024;

// Bytes of a control message. A Welcome takes about 2 KiB per device (130 attributes, name,
// limits).
inline constexpr uint32_t control_bytes_max = 128 * 1024;

// Bytes of a mangled kernel or variable name. Heavily templated libraries reach several KiB.
inline constexpr uint32_t name_bytes_max = 16 * 1024;

// Bytes of a linker or JIT log, or of the sentence with a posted error.
inline constexpr uint32_t log_bytes_max = 64 * 1024;

// Bytes of device printf or assert text in one record; longer text goes in several.
inline constexpr uint32_t output_bytes_max = 64 * 1024;

// Packed kernel parameters, bytes: the CUDA limit since 12.1 on sm_70 and newer.
inline constexpr uint32_t param_bytes_max = 32764;

// Parameters of one kernel, a count. The packed bytes bound it too.
inline constexpr uint32_t kernel_params_max = 4096;

// Launch attributes of one launch, a count. CUDA 13.0 defines 18 ids.
inline constexpr uint32_t launch_attributes_max = 32;

// Nodes or edges of a graph in one record, a count: what is more goes in several.
inline constexpr uint32_t graph_edges_max = 8192;

// Host calls, or copies, of an instance's parts in one record, a count: what is more is asked for
// again. Both lists together stay below record_bytes_max.
inline constexpr uint32_t part_items_max = 4096;

// Bodies of one conditional node, a count. CUDA has no limit but the node's `size`.
inline constexpr uint32_t graph_bodies_max = 1024;

// Options of compiling one module, a count. CUDA 13.0 defines 35 ids.
inline constexpr uint32_t jit_options_max = 64;

// Bytes of a graph's description as text in one record; the rest is asked for again.
inline constexpr uint32_t graph_text_bytes_max = 64 * 1024;

// Numbers of one tensor map: four for each of five dimensions, and some.
inline constexpr uint32_t tensor_map_numbers_max = 32;

// Images linked into one module, a count: one per translation unit of an -rdc=true program.
inline constexpr uint32_t link_images_max = 4096;

// Kernels told in one reply, a count; record_bytes_max bounds it too. A module may have more: the
// rest is asked for with kernels_more.
inline constexpr uint32_t module_kernels_max = 4096;

// Bytes of the kernel_facts in one reply: leaves room in the record for a full log.
inline constexpr uint32_t kernels_bytes_max = 128 * 1024;

// Bytes of one module image, all its image_part pieces together. PyTorch's largest is 0.4 GB.
inline constexpr uint64_t image_bytes_max = uint64_t{2} << 30;

// Ordinals are below this. A host has at most 16 GPUs today.
inline constexpr uint32_t devices_max = 64;

// Ops either side may list in its Hello or Welcome, a count: op numbers are 16 bits, far from used.
inline constexpr uint32_t control_ops_max = 4096;

// Attributes of one device in a Welcome, a count. CUDA 13.0 defines 144.
inline constexpr uint32_t control_attributes_max = 1024;

// Limits of one device in a Welcome, a count. CUDA 13.0 defines 9 ids.
inline constexpr uint32_t control_limits_max = 256;

// Bytes of a text in a control message: a host or device name, a reason.
inline constexpr uint32_t control_text_bytes_max = 4096;

// Kinds of commands whose times a worker tells, a count: op numbers are below it today.
inline constexpr uint32_t command_kinds_max = 192;

// Packed arguments or results of one CUDA-X library call in one record, bytes: room for arrays in
// host memory, and half a record.
inline constexpr uint32_t cudax_bytes_max = 128 * 1024;

// Of one such call's pieces, and of all that a session has under way at once, in bytes: arguments,
// and as much again for results. The worker's memory pays for them.
inline constexpr uint64_t cudax_long_bytes_max = uint64_t{1} << 30;

// Calls in pieces that a session has under way at once, a count.
inline constexpr uint32_t cudax_long_calls_max = 256;

// Streams, or objects, of one group of library calls, a count. A group has a call for each of a
// session's devices and peers at most, or so.
inline constexpr uint32_t cudax_group_max = 2048;

// Host memory of the server that one CUDA-X library call may have for the library's own use, bytes.
inline constexpr uint64_t cudax_scratch_bytes_max = uint64_t{1} << 30;

// Bytes of a session token.
inline constexpr uint32_t session_token_bytes_max = 64;

// Bulk lanes of one session, a count: more connections than this gain nothing on any network.
inline constexpr uint32_t lanes_max = 64;

// Bytes of a lane's chunk from which cutting a copy finer costs more than it spreads.
inline constexpr uint32_t lane_chunk_bytes_min = 128 * 1024;

// A forwarded call of the management library: its parameters of one kind, a count (NVML has at most
// 6), and the bytes behind all its pointers together (NVML's largest: lists of some hundred
// elements).
inline constexpr uint32_t monitor_arguments_max = 8;
inline constexpr uint32_t monitor_bytes_max = 64 * 1024;

// How a copy of `bytes` is cut over `lanes`: several chunks for each, none larger than `chunk_max`.
constexpr uint64_t lane_chunk_bytes(uint64_t bytes, uint64_t lanes, uint64_t chunk_max) {
  const uint64_t share = (bytes / (lanes * 2) + 0xffff) & ~uint64_t{0xffff};
  const uint64_t chunk = share < lane_chunk_bytes_min ? lane_chunk_bytes_min : share;
  return chunk < chunk_max ? chunk : chunk_max;
}

}  // namespace farlane::protocol::limits
