// libFuzzer's harness of CIFAR's files: they are read, or end in a FileError of one line.
//
// A record is 3,072 pixels, which may be anything, behind a label or two, which may not. So an input is: which of the
// two sets; and for each file in turn, four bytes for a record, of its labels and of all its pixels, the fourth saying
// whether the file goes on, ends, or ends so many bytes too late.
#include "espalier/datasets/cifar.h"

#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tests/fuzz/expectations.h"
#include "tests/fuzz/memory_file.h"

namespace espalier {
namespace {

using Names = std::vector<std::string>;
const Names cifar10_names{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                          "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};
const Names cifar100_names{"train.bin", "test.bin"};

// A folder of links to files in memory, which every input fills anew.
class Folder {
 public:
  explicit Folder(const Names& names)
      : path_(std::filesystem::temp_directory_path() / fmt::format("espalier-fuzz-{}-{}", ::getpid(), names.size())) {
    std::filesystem::create_directories(path_);
    for (const std::string& name : names) {
      files_.push_back(std::make_unique<MemoryFile>("", 0));
      std::filesystem::remove(path_ / name);
      std::filesystem::create_symlink(files_.back()->path(), path_ / name);
    }
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void fill(std::span<const std::string> contents) {
    for (std::size_t f = 0; f < files_.size(); ++f) files_[f]->replace(contents[f].data(), contents[f].size());
  }

 private:
  std::filesystem::path path_;
  std::vector<std::unique_ptr<MemoryFile>> files_;
};

std::vector<std::string> contents_of(std::span<const std::uint8_t> input, std::size_t files, std::size_t labels) {
  constexpr std::size_t pixels = 3 * 32 * 32, most_records = 64;
  std::vector<std::string> contents(files);
  std::size_t file = 0, records = 0;
  for (; input.size() >= 4 && file < files && records < most_records; input = input.subspan(4), ++records) {
    contents[file].append({static_cast<char>(input[0]), static_cast<char>(input[1])}, 0, labels);
    contents[file].append(pixels, static_cast<char>(input[2]));
    if (input[3] % 2 == 0) continue;
    contents[file++].append(input[3] / 2, '\0');
  }
  return contents;
}

void try_files(std::span<const std::uint8_t> input, bool hundred) {
  static Folder ten_folder(cifar10_names), hundred_folder(cifar100_names);
  Folder& folder = hundred ? hundred_folder : ten_folder;
  folder.fill(contents_of(input, (hundred ? cifar100_names : cifar10_names).size(), hundred ? 2 : 1));
  try {
    const DataParts parts = hundred ? cifar100(folder.path()) : cifar10(folder.path());
    for (const DatasetPtr& part : {parts.train, parts.test}) {
      std::vector<Real> features(static_cast<std::size_t>(part->shape().features()));
      expect(part->samples() > 0);
      for (Index i = 0; i < part->samples(); ++i) {
        part->read(i, features);
        expect_finite(features);
        expect(part->label(i) >= 0 && part->label(i) < part->classes());
      }
    }
  } catch (const FileError& error) {
    expect_one_line(error);
  }
}

}  // namespace
}  // namespace espalier

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
  if (bytes > 0) espalier::try_files({data + 1, bytes - 1}, data[0] % 2);
  return 0;
}
