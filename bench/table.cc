#include "bench/table.h"

#include <sys/utsname.h>

#include <cstdio>
#include <thread>

namespace farlane::bench {

std::optional<std::string> server_for(const CompareOptions& options, OwnServer* own,
                                      const Command& more_options) {
  if (!options.server.empty()) return options.server;
  std::optional<std::string> server = own->start(options.device, more_options);
  if (!server) {
    std::fprintf(stderr, "farlane-bench: gpuserverd did not start (its log is above)\n");
  }
  return server;
}

std::string cell(std::optional<double> value, int decimals) {
  char text[32] = "-";
  if (value) {
    std::snprintf(text, sizeof text, "%.*f", decimals, *value);
  }
  return text;
}

std::optional<double> measured(const Samples& samples, const std::string& name) {
  return samples.values.contains(name) ? std::optional(samples.median_of(name)) : std::nullopt;
}

void print_row(const std::string& name, int name_width, const std::vector<std::string>& cells,
               int cell_width) {
  std::printf("%-*s", name_width, name.c_str());
  for (const std::string& text : cells) std::printf(" %*s", cell_width, text.c_str());
  std::printf("\n");
}

void write_json_circumstances(std::ostream& json, const std::string& server, int runs,
                              const Raw& raw) {
  utsname system{};
  ::uname(&system);
  const std::string devices =
      output_of({own_folder() / "farlane", "devices", "--server", server}).value_or("");
  const std::string version = output_of({own_folder() / "farlane", "--version"}).value_or("");
  json << "\"cpu\": " << json_text(cpu_name())
       << ", \"cpus\": " << std::thread::hardware_concurrency()
       << ", \"kernel\": " << json_text(system.release) << ", \"devices\": " << json_text(devices)
       << ", \"version\": " << json_text(version.substr(0, version.find('\n')))
       << ", \"commit\": " << json_text(FARLANE_COMMIT) << ", \"runs\": " << runs
       << ",\n \"raw\": {\"round_trip_spinning_us\": " << raw.spinning_us
       << ", \"round_trip_blocking_us\": " << raw.blocking_us
       << ", \"copy_gb_per_s\": " << raw.copy_gb_per_s << ", \"stream_gb_per_s\": {";
  const char* comma = "";
  for (const auto& [connections, rate] : raw.stream_gb_per_s) {
    json << comma << '"' << connections << "\": " << rate;
    comma = ", ";
  }
  json << "}}";
}

void write_json_number(std::ostream& json, const char* name, std::optional<double> value) {
  if (value) json << ", \"" << name << "\": " << *value;
}

bool finish_json(std::ostream& json, const std::string& file) {
  if (json.flush()) return true;
  std::fprintf(stderr, "farlane-bench: cannot write %s\n", file.c_str());
  return false;
}

}  // namespace farlane::bench
