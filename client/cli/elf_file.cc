#include "client/cli/elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace farlane::cli {
namespace {

// Far above what linkers make; a damaged count must not become an allocation.
constexpr uint32_t kSectionsMax = 1 << 20;
constexpr uint32_t kSegmentsMax = 1 << 12;
constexpr uint64_t kDynamicBytesMax = 1 << 20;
constexpr uint64_t kStringTableBytesMax = uint64_t{1} << 30;
constexpr uint64_t kSymbolTableBytesMax = uint64_t{1} << 30;

#if defined(__x86_64__)
constexpr uint16_t kNativeMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr uint16_t kNativeMachine = EM_AARCH64;
#else
constexpr uint16_t kNativeMachine = EM_NONE;
#endif

// The text at `offset` of a string table; empty if it does not end inside.
std::string_view text_at(const std::vector<std::byte>& table, uint64_t offset) {
  if (offset >= table.size()) return {};
  const char* const begin = reinterpret_cast<const char*>(table.data()) + offset;
  const void* const end = std::memchr(begin, 0, table.size() - offset);
  if (end == nullptr) return {};
  return {begin, static_cast<size_t>(static_cast<const char*>(end) - begin)};
}
std::string string_at(const std::vector<std::byte>& table, uint64_t offset) {
  return std::string(text_at(table, offset));
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

ElfFile::~ElfFile() {
  if (fd_ >= 0) ::close(fd_);
}

std::unique_ptr<ElfFile> ElfFile::open(const std::string& path, bool* is_elf, std::string* error) {
  *is_elf = false;
  std::unique_ptr<ElfFile> file(new ElfFile);
  file->fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat facts {};
  if (file->fd_ < 0 || ::fstat(file->fd_, &facts) != 0) {
    *error = fmt::format("{} cannot be read: {}", path, std::strerror(errno));
    return nullptr;
  }
  if (!S_ISREG(facts.st_mode)) {
    *error = fmt::format("{} is not a regular file", path);
    return nullptr;
  }
  file->file_bytes_ = static_cast<uint64_t>(facts.st_size);
  std::array<unsigned char, SELFMAG> magic{};
  if (!file->read(0, magic.data(), magic.size()) ||
      std::memcmp(magic.data(), ELFMAG, SELFMAG) != 0) {
    *error = fmt::format("{} is not an ELF program", path);
    return nullptr;
  }
  *is_elf = true;
  std::string reason;
  if (!file->read_header(&reason) ||
      (file->native_ && (!file->read_segments(&reason) || !file->read_sections(&reason) ||
                         !file->read_dynamic(&reason)))) {
    *error = fmt::format("{} is damaged: {}", path, reason);
    return nullptr;
  }
  return file;
}

bool ElfFile::read(uint64_t offset, void* to, uint64_t bytes) const {
  if (offset > file_bytes_ || bytes > file_bytes_ - offset) return false;
  auto* out = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t got = ::pread(fd_, out, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<uint64_t>(got);
  }
  return true;
}

bool ElfFile::read_header(std::string* error) {
  Elf64_Ehdr header{};
  if (!read(0, header.e_ident, EI_NIDENT)) {
    *error = "it ends inside its header";
    return false;
  }
  // Another class or byte order: only that is worth knowing.
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) return true;
  if (!read(0, &header, sizeof header)) {
    *error = "it ends inside its header";
    return false;
  }
  native_ = header.e_machine == kNativeMachine;
  executable_ = header.e_type == ET_EXEC || header.e_type == ET_DYN;
  if (!native_) return true;
  if ((header.e_phnum != 0 && header.e_phentsize != sizeof(Elf64_Phdr)) ||
      (header.e_shoff != 0 && header.e_shentsize != sizeof(Elf64_Shdr))) {
    *error = "its tables have entries of an unknown size";
    return false;
  }
  segment_table_ = header.e_phoff;
  segment_count_ = header.e_phnum;
  section_table_ = header.e_shoff;
  section_count_ = header.e_shnum;
  names_index_ = header.e_shstrndx;
  if (section_table_ != 0 && (section_count_ == 0 || names_index_ == SHN_XINDEX)) {
    Elf64_Shdr first{};  // holds the counts that do not fit into the header
    if (!read(section_table_, &first, sizeof first)) {
      *error = "its section table lies outside the file";
      return false;
    }
    if (section_count_ == 0) section_count_ = static_cast<uint32_t>(first.sh_size);
    if (names_index_ == SHN_XINDEX) names_index_ = first.sh_link;
  }
  if (segment_count_ > kSegmentsMax || section_count_ > kSectionsMax) {
    *error = fmt::format("it claims {} segments and {} sections", segment_count_, section_count_);
    return false;
  }
  return true;
}

bool ElfFile::read_segments(std::string* error) {
  std::vector<Elf64_Phdr> table(segment_count_);
  if (!read(segment_table_, table.data(), table.size() * sizeof(Elf64_Phdr))) {
    *error = "its segment table lies outside the file";
    return false;
  }
  for (const Elf64_Phdr& entry : table) {
    segments_.push_back({entry.p_type, entry.p_offset, entry.p_vaddr, entry.p_filesz});
    if (entry.p_type == PT_INTERP) has_interpreter_ = true;
  }
  return true;
}

bool ElfFile::read_sections(std::string* error) {
  if (section_table_ == 0) return true;  // stripped of them: fewer facts, no fault
  const uint64_t table_bytes = uint64_t{section_count_} * sizeof(Elf64_Shdr);
  if (section_table_ > file_bytes_ || table_bytes > file_bytes_ - section_table_) {
    *error = "its section table lies outside the file";
    return false;
  }
  std::vector<Elf64_Shdr> table(section_count_);
  if (!read(section_table_, table.data(), table_bytes)) {
    *error = "its section table cannot be read";
    return false;
  }
  std::vector<std::byte> names;
  if (names_index_ < table.size()) {
    const Elf64_Shdr& entry = table[names_index_];
    names = contents({"", entry.sh_type, entry.sh_offset, entry.sh_size}, kStringTableBytesMax);
  }
  for (const Elf64_Shdr& entry : table) {
    sections_.push_back(
        {string_at(names, entry.sh_name), entry.sh_type, entry.sh_offset, entry.sh_size});
    links_.push_back(entry.sh_link);
  }
  return true;
}

bool ElfFile::file_offset(uint64_t address, uint64_t* offset) const {
  for (const Segment& segment : segments_) {
    if (segment.type == PT_LOAD && address >= segment.address &&
        address - segment.address < segment.file_bytes) {
      return !__builtin_add_overflow(segment.offset, address - segment.address, offset);
    }
  }
  return false;
}

bool ElfFile::read_dynamic(std::string* error) {
  const auto dynamic = std::find_if(segments_.begin(), segments_.end(),
                                    [](const Segment& s) { return s.type == PT_DYNAMIC; });
  if (dynamic == segments_.end()) return true;
  if (dynamic->file_bytes > kDynamicBytesMax) {
    *error = fmt::format("its dynamic section claims {} bytes", dynamic->file_bytes);
    return false;
  }
  std::vector<Elf64_Dyn> entries(dynamic->file_bytes / sizeof(Elf64_Dyn));
  if (!read(dynamic->offset, entries.data(), entries.size() * sizeof(Elf64_Dyn))) {
    *error = "its dynamic section lies outside the file";
    return false;
  }
  uint64_t strings_address = 0;
  uint64_t strings_bytes = 0;
  for (const Elf64_Dyn& entry : entries) {
    if (entry.d_tag == DT_STRTAB) strings_address = entry.d_un.d_ptr;
    if (entry.d_tag == DT_STRSZ) strings_bytes = entry.d_un.d_val;
  }
  uint64_t strings_offset = 0;
  if (strings_bytes == 0 || !file_offset(strings_address, &strings_offset)) return true;
  const std::vector<std::byte> strings =
      contents({"", SHT_STRTAB, strings_offset, strings_bytes}, kStringTableBytesMax);
  if (strings.empty()) {
    *error = "its dynamic strings lie outside the file";
    return false;
  }
  for (const Elf64_Dyn& entry : entries) {
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_tag == DT_NEEDED) needed_.push_back(string_at(strings, entry.d_un.d_val));
    if (entry.d_tag == DT_RPATH) rpath_ = split(string_at(strings, entry.d_un.d_val), ':');
    if (entry.d_tag == DT_RUNPATH) runpath_ = split(string_at(strings, entry.d_un.d_val), ':');
  }
  return true;
}

const ElfSection* ElfFile::section(std::string_view name) const {
  for (const ElfSection& section : sections_) {
    if (section.name == name) return &section;
  }
  return nullptr;
}

std::vector<std::byte> ElfFile::contents(const ElfSection& section, uint64_t bytes_max) const {
  std::vector<std::byte> bytes;
  if (section.type == SHT_NOBITS || section.bytes > bytes_max || section.bytes > file_bytes_) {
    return bytes;
  }
  bytes.resize(section.bytes);
  if (!read(section.offset, bytes.data(), bytes.size())) bytes.clear();
  return bytes;
}

bool ElfFile::defines(std::string_view symbol) const {
  for (size_t i = 0; i < sections_.size(); ++i) {
    const ElfSection& table = sections_[i];
    if ((table.type != SHT_SYMTAB && table.type != SHT_DYNSYM) || links_[i] >= sections_.size()) {
      continue;
    }
    const std::vector<std::byte> symbols = contents(table, kSymbolTableBytesMax);
    const std::vector<std::byte> names = contents(sections_[links_[i]], kStringTableBytesMax);
    for (size_t at = 0; at + sizeof(Elf64_Sym) <= symbols.size(); at += sizeof(Elf64_Sym)) {
      Elf64_Sym entry;
      std::memcpy(&entry, symbols.data() + at, sizeof entry);
      if (entry.st_shndx != SHN_UNDEF && text_at(names, entry.st_name) == symbol) return true;
    }
  }
  return false;
}

bool ElfFile::section_holds(std::string_view section_name, std::string_view text) const {
  const ElfSection* const found = section(section_name);
  if (found == nullptr || text.empty()) return false;
  const std::vector<std::byte> bytes = contents(*found, kStringTableBytesMax);
  return !bytes.empty() &&
         ::memmem(bytes.data(), bytes.size(), text.data(), text.size()) != nullptr;
}

}  // namespace farlane::cli
