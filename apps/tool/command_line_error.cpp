#include "apps/tool/command_line_error.h"

#include <fmt/format.h>

#include <algorithm>

#include "espalier/core/nearest.h"
#include "espalier/datasets/quoted.h"

namespace espalier {
namespace {

constexpr const char* hidden_group = "";  // CLI11 shows nothing of such a group

// "--epochs=3" -> "--epochs"
std::string without_value(const std::string& word) {
  return word.starts_with('-') ? word.substr(0, word.find('=')) : word;
}

// The first word, as they were typed, that none of the commands knows what to do with; empty: there is none.
std::string unknown_word(const CLI::App& app, const std::vector<std::string>& arguments) {
  const std::vector<std::string> left = app.remaining(/*recurse=*/true);
  const auto is_left = [&](const std::string& word) {
    return std::ranges::count(left, word) + std::ranges::count(left, without_value(word)) > 0;
  };
  std::string first;
  for (const std::string& word : arguments) {
    if (!is_left(word)) continue;
    if (word.starts_with('-')) return without_value(word);  // what follows it was perhaps its value
    if (first.empty()) first = word;
  }
  return first;
}

// Flags are guessed without their dashes: "epochs" and "-epochs" are near --epochs.
std::string guessed_flag(const CLI::App& command, const std::string& word) {
  const auto bare = [](const std::string& flag) {
    return flag.substr(std::min(flag.size(), flag.find_first_not_of('-')));
  };
  std::vector<std::string> names;
  for (const std::string& flag : flag_names(command)) names.push_back(bare(flag));
  std::vector<std::string> nearest = nearest_names(bare(word), names);
  for (std::string& name : nearest) name = (name.size() == 1 ? "-" : "--") + name;
  return nearest.empty() ? "" : fmt::format("; did you mean {}?", listed(nearest));
}

std::string message_for(const std::string& word, const CLI::App& command) {
  const std::string help = fmt::format(" ({} --help)", full_name_of(command));
  const std::vector<std::string> commands = command_names(command);
  if (word.starts_with('-'))
    return fmt::format("[{}] expected one of its flags{}, got {}{}", command.get_name(), help, quoted(word),
                       guessed_flag(command, word));
  std::string guess = did_you_mean(word, commands);
  if (guess.empty()) guess = guessed_flag(command, word);
  return commands.empty()
             ? fmt::format("[{}] expected no more arguments{}, got {}{}", command.get_name(), help, quoted(word), guess)
             : fmt::format("[{}] expected one of its commands, {}, got {}{}", command.get_name(), listed(commands),
                           quoted(word), guess);
}

}  // namespace

const CLI::App& named_command(const CLI::App& app) {
  const CLI::App* command = &app;
  for (std::vector<CLI::App*> named = command->get_subcommands(); !named.empty(); named = command->get_subcommands())
    command = named.back();
  return *command;
}

std::string full_name_of(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent ? full_name_of(*parent) + " " + command.get_name() : command.get_name();
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* c) { return c->get_group() != hidden_group; }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> flag_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->nonpositional() || option->get_group() == hidden_group) continue;
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    if (option->get_lnames().empty())
      for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

UsageError usage_error_of(const CLI::ParseError& error, const CLI::App& app,
                          const std::vector<std::string>& arguments) {
  const CLI::App& command = named_command(app);
  if (const std::string word = unknown_word(app, arguments); !word.empty()) {
    // A flag before the command, or a word behind it, may be one that an outer command does not know.
    return UsageError(message_for(word, command));
  }
  if (&command == &app && arguments.empty() && !command_names(app).empty())
    return UsageError(fmt::format("[{0}] expected one of its commands, {1}, got none ({0} --help)", app.get_name(),
                                  listed(command_names(app))));
  return UsageError(fmt::format("{} ({} --help)", error.what(), full_name_of(command)));
}

std::optional<int> parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {  // --help, --version
    return app.exit(wanted);
  } catch (const CLI::ParseError& error) {
    throw usage_error_of(error, app, {argv + 1, argv + argc});
  }
  return {};
}

CLI::Validator one_of(std::vector<std::string> words) {
  const std::string names = listed(words);
  return CLI::Validator(
      [words = std::move(words)](std::string& word) {
        if (std::ranges::count(words, word) > 0) return std::string();
        return fmt::format("expected {}, got {}{}", listed(words), quoted(word), did_you_mean(word, words));
      },
      names, "one of");
}

}  // namespace espalier
