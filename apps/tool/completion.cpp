// espalier completion bash | zsh: what makes the Tab key know the commands, flags and names.
#include "apps/tool/completion.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>

#include "apps/tool/command_line_error.h"
#include "apps/tool/commands.h"
#include "espalier/datasets/catalogue.h"
#include "espalier/experiment/recipes.h"
#include "espalier/layers/loss.h"
#include "espalier/layers/models.h"
#include "espalier/optim/optimizer.h"
#include "espalier/pruning/group_criterion.h"
#include "espalier/pruning/method.h"

namespace espalier {
namespace {

using Words = std::vector<std::string>;

Words recipe_names(const char* another) {
  Words names;
  if (*another) names.emplace_back(another);
  for (const Recipe& recipe : shipped_recipes()) names.push_back(recipe.name);
  return names;
}

Words with_auto(Words names) {
  names.insert(names.begin(), "auto");
  return names;
}

Words structures() {
  return {"elements", "2:4", "block:4x4", "fan-in", "neurons", "channels", "heads", "units"};
}

// What stands where, by the name of the flag or argument. Catalogues are asked; words that stand in no catalogue are
// compared by a test with what the library says that it expects.
const std::map<std::string, std::function<Words()>>& tables() {
  static const std::map<std::string, std::function<Words()>> all{
      {"--method", [] { return methods().all_names(); }},
      {"--methods", [] { return methods().all_names(); }},
      {"method", [] { return methods().all_names(); }},
      {"--model", [] { return models().all_names(); }},
      {"--data", [] { return with_auto(data_sources().all_names()); }},
      {"DATA", [] { return data_sources().all_names(); }},
      {"--optimizer", [] { return optimizers().all_names(); }},
      {"--loss", [] { return with_auto(losses().all_names()); }},
      {"--recipe", [] { return recipe_names("auto"); }},
      {"NAME", [] { return recipe_names(""); }},
      {"--schedule",
       [] {
         return Words{"one-shot", "linear", "cubic", "iterative"};
       }},
      {"--allocation", [] { return Words{"uniform", "er", "erk", "global", "lamp", "sensitivity:1"}; }},
      {"--structure", structures},
      {"--structures", structures},
      {"--controls",
       [] {
         return Words{"dense", "random", "none"};
       }},
      {"--criterion", [] { return with_auto(group_criteria().all_names()); }},
      {"--control",
       [] {
         return Words{"none", "reinit", "random-pattern", "shuffled-mask", "small-dense"};
       }},
      {"--rewind",
       [] {
         return Words{"none", "init", "rate"};
       }},
      {"--rate-schedule",
       [] {
         return Words{"constant", "step", "cosine"};
       }},
      {"--augment",
       [] {
         return Words{"none", "flip", "crop-flip"};
       }},
      {"--class-weights",
       [] {
         return Words{"none", "balanced"};
       }},
      {"--task",
       [] {
         return Words{"auto", "classification", "regression"};
       }},
      {"--scaling",
       [] {
         return Words{"standard", "robust", "none", "quantile", "piecewise"};
       }},
      {"--encoding",
       [] {
         return Words{"one-hot", "ordinal"};
       }},
      {"--impute",
       [] {
         return Words{"auto", "mean", "median"};
       }},
      {"--header",
       [] {
         return Words{"auto", "yes", "no"};
       }},
      {"--delimiter", [] { return Words{"auto", "comma", "semicolon", "tab", "pipe", "space"}; }},
      {"--decimal",
       [] {
         return Words{"auto", "point", "comma"};
       }},
      {"--charset",
       [] {
         return Words{"auto", "utf-8", "latin-1", "utf-16"};
       }},
      {"--format",
       [] {
         return Words{"auto", "csv", "libsvm", "text"};
       }},
      {"--part",
       [] {
         return Words{"test", "train"};
       }},
      {"--to", [] { return Words{"safetensors", "csr", "compressed", "onnx", "npz", "mtx"}; }},
      {"shell", [] {
         return Words{"bash", "zsh"};
       }}};
  return all;
}

// The command of that name in this one, or null.
const CLI::App* command_in(const CLI::App& app, const std::string& name) {
  const auto found = app.get_subcommands([&](const CLI::App* command) { return command->get_name() == name; });
  return found.empty() ? nullptr : found.front();
}

const CLI::Option* option_named(const CLI::App& command, const std::string& name) {
  const CLI::Option* option = command.get_option_no_throw(name);
  return option && option->nonpositional() ? option : nullptr;
}

Words positional_values(const CLI::App& command) {
  Words words;
  for (const CLI::Option* option : command.get_options()) {
    if (option->nonpositional()) continue;
    const Words values = values_of(option->get_name());
    words.insert(words.end(), values.begin(), values.end());
  }
  return words;
}

// Bash cuts words at ':' and '=': of a word with one of them it replaces the last part only.
constexpr std::string_view bash_script = R"(# Completion for bash:  source <(espalier completion bash)
_espalier() {
  local line="${COMP_LINE:0:COMP_POINT}" word cut=""
  word="${line##*[[:space:]]}"
  [[ "$word" == *[:=]* && "$COMP_WORDBREAKS" == *:* ]] && cut="${word%"${word##*[:=]}"}"
  mapfile -t COMPREPLY < <(ESPALIER_COMPLETE="$line" "${COMP_WORDS[0]}" completion words 2>/dev/null)
  COMPREPLY=("${COMPREPLY[@]#"$cut"}")
  [[ ${#COMPREPLY[@]} == 1 && "${COMPREPLY[0]}" == *: ]] && compopt -o nospace 2>/dev/null
  return 0
}
complete -o default -o bashdefault -F _espalier espalier
)";

constexpr std::string_view zsh_script = R"(#compdef espalier
# Completion for zsh:  source <(espalier completion zsh)
_espalier() {
  local -a found
  found=("${(@f)$(ESPALIER_COMPLETE="${(j: :)words[1,CURRENT]}" ${words[1]} completion words 2>/dev/null)}")
  if [[ -n "${found[1]}" ]]; then compadd -- "${found[@]}"; else _files; fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit; compinit }
compdef _espalier espalier
)";

void answer(const CLI::App& app) {
  const char* const line = std::getenv("ESPALIER_COMPLETE");
  if (!line) return;
  for (const std::string& word : completions(app, line)) fmt::print("{}\n", word);
}

}  // namespace

std::vector<std::string> values_of(const std::string& flag) {
  const auto found = tables().find(flag);
  return found == tables().end() ? Words() : found->second();
}

std::vector<std::string> completions(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* command = &app;
  bool begun = false;  // behind the command there is something else already
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const CLI::App* inner = begun ? nullptr : command_in(*command, words[i]);
    if (inner)
      command = inner;
    else
      begun = true;
  }
  const std::string last = words.empty() ? "" : words.back();
  const CLI::Option* before = words.size() > 1 ? option_named(*command, words[words.size() - 2]) : nullptr;
  Words all;
  if (before && before->get_type_size() > 0 && before->get_expected_max() > 0) {
    all = values_of(before->get_name());
  } else if (last.starts_with('-')) {
    all = flag_names(*command);
  } else {
    if (!begun) all = command_names(*command);
    const Words values = positional_values(*command);
    all.insert(all.end(), values.begin(), values.end());
  }
  std::erase_if(all, [&](const std::string& word) { return !word.starts_with(last); });
  return all;
}

std::vector<std::string> completions(const CLI::App& app, const std::string& line) {
  Words words = CLI::detail::split_up(line);
  if (!words.empty()) words.erase(words.begin());
  if (line.empty() || line.back() == ' ' || line.back() == '\t') words.emplace_back();
  return completions(app, words);
}

Command add_completion(CLI::App& app) {
  auto shell = std::make_shared<std::string>();
  app.add_option("shell", *shell, "bash or zsh")->required()->check(one_of({"bash", "zsh", "words"}));
  app.footer(
      "Prints what the shell has to read, once or in its start-up file:\n"
      "  source <(espalier completion bash)        # in ~/.bashrc\n"
      "  source <(espalier completion zsh)         # in ~/.zshrc");
  return [shell, &app] {
    if (*shell == "words") return answer(*app.get_parent());
    fmt::print("{}", *shell == "bash" ? bash_script : zsh_script);
  };
}

}  // namespace espalier
