#include "espalier/layers/export.h"

#include <limits>
#include <vector>

#include "espalier/core/atomic_file.h"
#include "espalier/core/catalogue.h"
#include "espalier/core/checksum.h"
#include "espalier/core/error.h"
#include "espalier/core/nearest.h"
#include "espalier/core/safetensors.h"

namespace espalier {
namespace {

// The live weights row by row: data and indices [n], indptr [rows + 1].
struct Csr {
  std::vector<float> data;
  std::vector<std::int32_t> indices;
  std::vector<std::int64_t> indptr;
};

Csr csr_of(const Parameter& W) {
  require(W.cols() <= std::numeric_limits<std::int32_t>::max(), "[export] {}: expected less than 2^31 columns, got {}",
          W.name(), W.cols());
  Csr csr;
  csr.indptr.assign(static_cast<std::size_t>(W.rows()) + 1, 0);
  W.for_each_weight([&](Index r, Index c, Index at) {
    csr.data.push_back(static_cast<float>(W.value()[at]));
    csr.indices.push_back(static_cast<std::int32_t>(c));
    ++csr.indptr[r + 1];
  });
  for (Index r = 0; r < W.rows(); ++r) csr.indptr[r + 1] += csr.indptr[r];
  return csr;
}

// scipy wants indptr as wide as indices, if that is enough.
bool narrow(const Csr& csr) {
  return csr.indptr.back() <= std::numeric_limits<std::int32_t>::max();
}
std::vector<std::int32_t> narrowed(const Csr& csr) {
  return {csr.indptr.begin(), csr.indptr.end()};
}

template <typename Number>
std::string raw_bytes(const std::vector<Number>& numbers) {
  return {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number)};
}

// --- npz: a ZIP of .npy files, which are not compressed --------------------------------------------------------------

// `width` bytes of a number, the lowest first.
void put_bytes(std::string& to, std::uint64_t number, int width) {
  for (int byte = 0; byte < width; ++byte) to += static_cast<char>(number >> (8 * byte) & 0xff);
}

std::string npy(const std::string& type, const std::string& shape, const std::string& data) {
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", type, shape);
  constexpr std::size_t before = 10, alignment = 64;
  header.resize((before + header.size() + alignment) / alignment * alignment - before - 1, ' ');
  std::string file("\x93NUMPY\x01\0", 8);
  put_bytes(file, header.size() + 1, 2);
  return file + header + "\n" + data;
}

class Zip {
 public:
  void add(const std::string& name, const std::string& contents) {
    require(bytes_.size() + contents.size() < std::numeric_limits<std::uint32_t>::max(),
            "[export] expected an archive below 4 GB, got {} bytes more", contents.size());
    const std::size_t offset = bytes_.size();
    std::string common;                                 // what the entry and the directory have in common
    put_bytes(common, 20, 2);                           // version of ZIP that is needed
    put_bytes(common, 0, 2);                            // no flags
    put_bytes(common, 0, 2);                            // stored
    put_bytes(common, 0, 2), put_bytes(common, 33, 2);  // 1 January 1980: equal models give equal bytes
    put_bytes(common, crc32_of(contents), 4);
    put_bytes(common, contents.size(), 4), put_bytes(common, contents.size(), 4);
    put_bytes(common, name.size(), 2), put_bytes(common, 0, 2);
    bytes_ += "PK\x03\x04" + common + name + contents;
    directory_ += "PK\x01\x02";
    put_bytes(directory_, 20, 2);
    directory_ += common;
    put_bytes(directory_, 0, 4), put_bytes(directory_, 0, 6);  // no comment, first disk; no attributes
    put_bytes(directory_, offset, 4);
    directory_ += name;
    ++count_;
  }
  std::string finished() const {
    std::string end = "PK\x05\x06";
    put_bytes(end, 0, 4);
    put_bytes(end, count_, 2), put_bytes(end, count_, 2);
    put_bytes(end, directory_.size(), 4), put_bytes(end, bytes_.size(), 4);
    put_bytes(end, 0, 2);
    return bytes_ + directory_ + end;
  }

 private:
  std::string bytes_, directory_;
  std::uint64_t count_ = 0;
};

}  // namespace

void export_npz(const Parameter& W, const std::filesystem::path& path) {
  const Csr csr = csr_of(W);
  Zip zip;
  zip.add("indices.npy", npy("<i4", fmt::format("{},", csr.indices.size()), raw_bytes(csr.indices)));
  zip.add("indptr.npy", npy(narrow(csr) ? "<i4" : "<i8", fmt::format("{},", csr.indptr.size()),
                            narrow(csr) ? raw_bytes(narrowed(csr)) : raw_bytes(csr.indptr)));
  zip.add("format.npy", npy("|S3", "", "csr"));
  zip.add("shape.npy", npy("<i8", "2,", raw_bytes(std::vector<std::int64_t>{W.rows(), W.cols()})));
  zip.add("data.npy", npy("<f4", fmt::format("{},", csr.data.size()), raw_bytes(csr.data)));
  write_file_atomically(path, zip.finished());
}

void export_mtx(const Parameter& W, const std::filesystem::path& path) {
  OutputFile file(path);
  file.write(
      fmt::format("%%MatrixMarket matrix coordinate real general\n{} {} {}\n", W.rows(), W.cols(), W.nonzeros()));
  std::string text;
  W.for_each_weight([&](Index r, Index c, Index at) {
    text += fmt::format("{} {} {:.9g}\n", r + 1, c + 1, W.value()[at]);
    constexpr std::size_t enough = 1 << 16;
    if (text.size() < enough) return;
    file.write(text);
    text.clear();
  });
  file.write(text);
  file.finish();
}

const Parameter& parameter_named(const Module& model, const std::string& name) {
  std::vector<std::string> names;
  for (const Parameter* W : parameters_of(model)) {
    if (W->name() == name) return *W;
    names.push_back(W->name());
  }
  throw not_among(names, "layer", name);
}

}  // namespace espalier
