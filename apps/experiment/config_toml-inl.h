// Configurations as sections of another TOML file. Apart from config.h, because toml++ takes a while to compile.
#pragma once

#include <toml++/toml.h>

#include <initializer_list>
#include <string_view>

#include "espalier/experiment/config.h"

namespace espalier {

// Throws FileError, naming the line.
toml::table parse_toml(const std::filesystem::path& path);
toml::table parse_toml_text(const std::string& text, const std::string& file);  // as it would be called in errors
// Sets what `root` gives, in the sections and keys of config.toml; the rest stays. besides: keys at the top that belong
// to the caller. Throws FileError, naming `file` and line, on anything else.
void read_sections(RunConfig& config, const toml::table& root, const std::string& file,
                   std::initializer_list<std::string_view> besides = {});

}  // namespace espalier
