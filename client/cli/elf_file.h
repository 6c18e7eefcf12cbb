// Reads what `farlane doctor` needs to know from an ELF file. The file is anybody's: every offset,
// size and count in it is checked against the file before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace farlane::cli {

struct ElfSection {
  std::string name;
  uint32_t type = 0;
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

class ElfFile {
 public:
  // nullptr: not a file, not ELF, or damaged; `*error` says which. `*is_elf` tells damage from
  // another kind of file.
  static std::unique_ptr<ElfFile> open(const std::string& path, bool* is_elf, std::string* error);
  ~ElfFile();
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  bool native() const { return native_; }  // 64-bit x86 or ARM, as this machine
  bool executable() const { return executable_; }
  bool has_interpreter() const { return has_interpreter_; }  // uses the dynamic loader
  const std::vector<std::string>& needed() const { return needed_; }
  const std::vector<std::string>& rpath() const { return rpath_; }      // folders
  const std::vector<std::string>& runpath() const { return runpath_; }  // folders
  const std::vector<ElfSection>& sections() const { return sections_; }

  const ElfSection* section(std::string_view name) const;
  // The bytes of a section; empty if it is larger than `bytes_max` or cannot be read.
  std::vector<std::byte> contents(const ElfSection& section, uint64_t bytes_max) const;
  // Whether the static or dynamic symbol table defines this symbol.
  bool defines(std::string_view symbol) const;
  // Whether a section holds this text anywhere.
  bool section_holds(std::string_view section_name, std::string_view text) const;

 private:
  ElfFile() = default;
  bool read(uint64_t offset, void* to, uint64_t bytes) const;
  bool read_header(std::string* error);
  bool read_segments(std::string* error);
  bool read_sections(std::string* error);
  bool read_dynamic(std::string* error);
  // Where in the file an address of the loaded image lies.
  bool file_offset(uint64_t address, uint64_t* offset) const;

  struct Segment {
    uint32_t type;
    uint64_t offset, address, file_bytes;
  };

  int fd_ = -1;
  uint64_t file_bytes_ = 0;
  bool native_ = false;
  bool executable_ = false;
  bool has_interpreter_ = false;
  uint64_t segment_table_ = 0, section_table_ = 0;
  uint32_t segment_count_ = 0, section_count_ = 0, names_index_ = 0;
  std::vector<Segment> segments_;
  std::vector<ElfSection> sections_;
  std::vector<uint32_t> links_;  // per section: sh_link
  std::vector<std::string> needed_, rpath_, runpath_;
};

}  // namespace farlane::cli
