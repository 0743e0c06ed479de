// The program `espalier`, called as from a shell, with what it prints.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "apps/tool/commands.h"

namespace espalier::testing {

struct Ran {
  int code = 0;
  std::string out, err;
};

// Without the lines that say, every ten seconds, what is waited for: whether there are any depends on the machine.
inline std::string without_waiting(const std::string& text) {
  std::string rest;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (!line.ends_with(" so far")) rest += line + "\n";
  if (!text.ends_with('\n') && !rest.empty()) rest.pop_back();
  return rest;
}

// One command line, split at spaces.
inline Ran tool(const std::string& line) {
  std::vector<std::string> words{"espalier"};
  std::istringstream stream(line);
  for (std::string word; stream >> word;) words.push_back(word);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int code = run_tool(static_cast<int>(argv.size()), argv.data());
  std::fflush(stdout);
  Ran ran{.code = code};
  ran.out = ::testing::internal::GetCapturedStdout();
  ran.err = without_waiting(::testing::internal::GetCapturedStderr());
  return ran;
}

}  // namespace espalier::testing
