// Where device code lies in what the host's compiler and archiver make of it: fat binaries in
// sections of objects (ELF), and objects in archives (ar), libcudadevrt.a for example.
//
// No size in them is trusted: everything is checked against the bytes at hand.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace farlane::codec {

// Begins like an archive. Reads no byte behind the first that differs.
bool is_archive(const void* bytes);

// The length of an archive. It ends with the bytes, or where a zero stands in place of the next
// member. Nothing: it is none, or is cut off.
std::optional<size_t> archive_bytes(std::span<const std::byte> bytes);

// The members of an archive, those with its symbols and names among them; none if it is cut off.
std::vector<std::span<const std::byte>> archive_members(std::span<const std::byte> bytes);

// An ELF file for another machine than a GPU.
bool is_host_object(std::span<const std::byte> bytes);

// The sections of an object with fat binaries; none if it is no object, or is cut off.
std::vector<std::span<const std::byte>> object_fatbins(std::span<const std::byte> bytes);

}  // namespace farlane::codec
