// Whole files (core/atomic_file.h) and safetensors in them. Rules are named by their number in core/safetensors.h.
#include "espalier/core/safetensors.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <csignal>
#include <cstring>
#include <functional>

#include "espalier/core/atomic_file.h"
#include "espalier/core/error.h"
#include "espalier/core/random.h"
#include "support/temporary_folder.h"
#include "support/text.h"

namespace espalier {
namespace {

using testing::contains;
using testing::TemporaryFolder;

// What a FileError says: one line that begins with `source`, which is left out.
std::string complaint(const std::string& source, const std::function<void()>& action) {
  try {
    action();
  } catch (const FileError& error) {
    const std::string message = error.what(), prefix = source + ": ";
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_TRUE(message.starts_with(prefix)) << message;
    return message.substr(std::min(prefix.size(), message.size()));
  }
  ADD_FAILURE() << "no FileError";
  return {};
}

std::ptrdiff_t files_in(const std::filesystem::path& folder) {
  const std::filesystem::directory_iterator files(folder);
  return std::distance(begin(files), end(files));
}

// --- atomic files ---------------------------------------------------------------------------------------------------

constexpr std::uintmax_t no_limit = std::uintmax_t{1} << 40;

TEST(AtomicFile, HoldsWhatWasWrittenAndNothingElseIsLeft) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "file";
  for (const std::string& contents : {std::string("first"), std::string(), std::string("a\0b\n", 4)}) {
    write_file_atomically(path, contents);
    EXPECT_EQ(read_file(path, no_limit), contents);
  }
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(AtomicFile, HasThePermissionsOfAnyNewFile) {
  const TemporaryFolder folder;
  const mode_t mask = ::umask(022);
  write_file_atomically(folder.path() / "file", "contents");
  ::umask(mask);
  EXPECT_EQ(std::filesystem::status(folder.path() / "file").permissions(), std::filesystem::perms{0644});
}

TEST(AtomicFile, SaysWhyAFolderCannotBeWritten) {
  const TemporaryFolder folder;
  const auto refuse = [](const std::filesystem::path& path) {
    return complaint(path.string(), [&] { write_file_atomically(path, "contents"); });
  };
  EXPECT_PRED2(contains, refuse(folder.path() / "missing" / "file"), "No such file or directory");
  write_file_atomically(folder.path() / "file", "contents");
  EXPECT_PRED2(contains, refuse(folder.path() / "file" / "file"), "Not a directory");
  EXPECT_EQ(files_in(folder.path()), 1);

  // Root may write anywhere but into a file system that has no files to make.
  std::filesystem::path locked = folder.path() / "locked";
  std::filesystem::create_directory(locked);
  ::chmod(locked.c_str(), 0555);
  const bool all_powerful = ::access(locked.c_str(), W_OK) == 0;
  EXPECT_PRED2(contains, refuse(all_powerful ? "/proc/file" : locked / "file"), "creating a temporary file");
  EXPECT_EQ(files_in(locked), 0);
}

TEST(AtomicFile, LeavesNothingBehindBesideAFolderOfItsName) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder.path() / "target");
  const std::filesystem::path path = folder.path() / "target";
  EXPECT_PRED2(contains, complaint(path.string(), [&] { write_file_atomically(path, "contents"); }), "found a folder");
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(AtomicFile, LeavesTheOldFileWhenTheDiskIsFullHalfway) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "file";
  write_file_atomically(path, "old");
  // A limit on file sizes stands in for a full disk: the first 4096 bytes are written, the rest are refused.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit tight = before;
  tight.rlim_cur = 4096;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
  std::string message;
  try {
    write_file_atomically(path, std::string(100'000, 'x'));
  } catch (const FileError& error) {
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_PRED2(contains, message, "writing a temporary file beside it failed: File too large");
  EXPECT_EQ(read_file(path, no_limit), "old");
  EXPECT_EQ(files_in(folder.path()), 1);
}

TEST(AtomicFile, ReadsRegularFilesUpToTheLimitOnly) {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "file", pipe = folder.path() / "pipe";
  const auto refuse = [](const std::filesystem::path& what, std::uintmax_t limit) {
    return complaint(what.string(), [&] { read_file(what, limit); });
  };
  EXPECT_PRED2(contains, refuse(path, 10), "No such file or directory");
  EXPECT_EQ(refuse(folder.path(), 10), "expected a regular file, found a folder");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_PRED2(contains, refuse(pipe, 10), "expected a regular file");
  write_file_atomically(path, "0123456789");
  EXPECT_EQ(read_file(path, 10), "0123456789");
  EXPECT_EQ(refuse(path, 9), "expected at most 9 bytes, found 10");
}

// --- safetensors ----------------------------------------------------------------------------------------------------

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// A file with this header, unpadded, and these data.
std::string raw_file(std::string_view header, std::string_view data) {
  const std::uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes.append(header).append(data);
}

std::string refuse(const std::string& bytes) {
  return complaint("model", [&] { decode(bytes, "model"); });
}

SafeTensors example() {
  return {{{"format", "espalier-1"}, {"note", "ü \"quoted\"\n"}},
          {{"fc1.weight", "F32", {2, 3}, bytes_of("abcdefghijklmnopqrstuvwx")},
           {"scalar", "I64", {}, bytes_of("12345678")},
           {"nothing", "U16", {0, 7}, {}},
           {"mask", "U8", {5}, bytes_of(std::string_view("\1\0\0\0\xff", 5))}}};
}

TEST(SafeTensorsFile, IsLengthHeaderAndData) {
  const SafeTensors file{{{"k", "v"}}, {{"b", "U8", {3}, bytes_of("xyz")}, {"a", "U16", {1, 1}, bytes_of("AB")}}};
  const std::string header = R"({"__metadata__":{"k":"v"},"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                             R"("a":{"dtype":"U16","shape":[1,1],"data_offsets":[3,5]}})";
  const std::string padding((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(encode(file), raw_file(header + padding, "xyzAB"));
}

TEST(SafeTensorsFile, ComesBackAsItWas) {
  const std::string bytes = encode(example());
  EXPECT_EQ(decode(bytes, "model"), example());
  EXPECT_EQ(encode(decode(bytes, "model")), bytes);
  EXPECT_EQ(decode(encode({}), "model"), SafeTensors{});

  const TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "model.safetensors";
  EXPECT_EQ(save_safetensors(example(), path), bytes.size());
  EXPECT_EQ(std::filesystem::file_size(path), bytes.size());
  EXPECT_EQ(load_safetensors(path), example());
}

TEST(SafeTensorsFile, HasItsDataAtAMultipleOfEightBytes) {
  for (std::size_t length = 1; length <= 16; ++length) {
    const SafeTensors file{{}, {{std::string(length, 'n'), "U8", {1}, bytes_of("x")}}};
    const std::string bytes = encode(file);
    EXPECT_EQ((bytes.size() - 1) % 8, 0u);
    EXPECT_EQ(encode_header(file), bytes.substr(0, bytes.size() - 1));
    EXPECT_EQ(decode(bytes, "model"), file);
  }
}

TEST(SafeTensorsFile, HasAHeaderThatDoesNotNeedTheData) {
  SafeTensors file = example();
  const std::string header = encode_header(file);
  for (SafeTensor& tensor : file.tensors) tensor.data.clear();
  EXPECT_EQ(encode_header(file), header);
}

TEST(SafeTensorsFile, ListsTensorsInTheOrderOfTheirData) {
  const SafeTensors file = decode(raw_file(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},
                                               "a":{"data_offsets":[0,1],"shape":[1],"dtype":"U8"}}  )",
                                           "AB"),
                                  "model");
  ASSERT_EQ(file.tensors.size(), 2u);
  EXPECT_EQ(file.tensors[0], (SafeTensor{"a", "U8", {1}, bytes_of("A")}));
  EXPECT_EQ(file.tensors[1], (SafeTensor{"b", "U8", {1}, bytes_of("B")}));
}

TEST(SafeTensorsFile, IsNotMadeOfTensorsThatDoNotFitTogether) {
  const auto message = [](const SafeTensors& file) -> std::string {
    try {
      encode(file);
    } catch (const UsageError& error) {
      return error.what();
    }
    return "no UsageError";
  };
  constexpr std::int64_t huge = std::int64_t{1} << 62;
  EXPECT_PRED2(contains, message({{}, {{"a", "F33", {1}, bytes_of("abcd")}}}), "expected a known dtype");
  EXPECT_PRED2(contains, message({{}, {{"a", "F32", {1}, bytes_of("abc")}}}), "expected 4 bytes for F32 [1], got 3");
  EXPECT_PRED2(contains, message({{}, {{"a", "F32", {-1}, {}}}}), "[-1]");
  EXPECT_PRED2(contains, message({{}, {{"a", "F32", {huge, 2}, {}}}}), "counted");
  EXPECT_PRED2(contains, message({{}, {{"a", "U8", {huge, 3}, {}}, {"b", "U8", {huge, 3}, {}}}}), "counted");
  EXPECT_PRED2(contains, message({{}, {{"a", "U8", {0}, {}}, {"a", "U8", {0}, {}}}}), "once");
  EXPECT_PRED2(contains, message({{}, {{"__metadata__", "U8", {0}, {}}}}), "once");
  EXPECT_PRED2(contains, message({{}, {{"\xff", "U8", {0}, {}}}}), "UTF-8");
  EXPECT_PRED2(contains, message({{{"key", "\xff"}}, {}}), "UTF-8");
}

TEST(SafeTensorsFile, Rule1TheHeaderLiesInTheFile) {
  EXPECT_EQ(refuse(""), "byte 0: expected 8 bytes with the length of the header, found a file of 0");
  EXPECT_EQ(refuse("1234567"), "byte 0: expected 8 bytes with the length of the header, found a file of 7");
  const auto with_length = [](std::uint64_t length, std::string bytes) {
    std::memcpy(bytes.data(), &length, 8);
    return bytes;
  };
  const std::string two = raw_file("{}", "");
  EXPECT_EQ(refuse(with_length(3, two)), "byte 0: expected a header inside the file's 10 bytes, found a header of 3");
  EXPECT_PRED2(contains, refuse(with_length(100'000'001, two)), "at most 100000000 bytes, found 100000001");
  EXPECT_PRED2(contains, refuse(with_length(~std::uint64_t{0}, two)), "found 18446744073709551615");
  EXPECT_EQ(refuse(with_length(0, two)), "byte 8: expected {, found an empty header");
}

TEST(SafeTensorsFile, Rule2TheHeaderIsOneJsonObjectWithoutDoubleKeys) {
  const auto header = [](const std::string& text) { return refuse(raw_file(text, "xy")); };
  EXPECT_EQ(header("[]"), "byte 8: expected {, found \"[\"");
  EXPECT_EQ(header(" {}"), "byte 8: expected {, found \" \"");
  EXPECT_EQ(header("\xEF\xBB\xBF{}"), "byte 8: expected {, found \"\\ufffd\"");
  EXPECT_EQ(header("{\"a\" 1}"), "byte 13: expected a header in JSON, found \"1\"");
  EXPECT_PRED2(contains, header("{"), "expected a header in JSON");
  EXPECT_PRED2(contains, header("{} {}"), "byte 11: expected a header in JSON");
  EXPECT_PRED2(contains, header("{\"\xff\":1}"), "expected a header in JSON");
  EXPECT_EQ(header(std::string("{}\0{}", 5)), "byte 10: expected a header in JSON, found a zero byte");
  EXPECT_EQ(header(R"({"a":1})"), R"(tensor "a": expected an object, found the number 1)");
  EXPECT_EQ(header(R"({"a":[]})"), R"(tensor "a": expected an object, found an array)");

  const std::string a = R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  EXPECT_EQ(header("{" + a + "," + a + "}"), R"(tensor "a": expected a name that occurs once, found it a second time)");
  EXPECT_EQ(header(R"({"a":{"dtype":"U8","dtype":"U8","shape":[2],"data_offsets":[0,2]}})"),
            R"(tensor "a": expected each key once, found dtype a second time)");
  EXPECT_PRED2(contains, header(R"({"__metadata__":{},"__metadata__":{},)" + a + "}"), "a second time");
  EXPECT_EQ(header(R"({"__metadata__":{"k":"1","k":"2"},)" + a + "}"),
            R"(__metadata__: expected strings under different keys, found the key "k" a second time)");
  for (const std::string value : {"1", "-1", "1.5", "true", "null", "[]", "{}"})
    EXPECT_PRED2(contains, header(R"({"__metadata__":{"k":)" + value + "}," + a + "}"),
                 "__metadata__: expected strings");
  EXPECT_PRED2(contains, header(R"({"__metadata__":"text",)" + a + "}"), "expected an object");

  // A message stays one line whatever a name contains, and short.
  EXPECT_EQ(header(R"({"a\nb":1})"), R"(tensor "a\nb": expected an object, found the number 1)");
  EXPECT_LT(header("{\"" + std::string(5000, 'n') + "\":1}").size(), 200u);
  // Deep nesting is refused at its second level and needs no stack.
  EXPECT_PRED2(contains, header(R"({"a":)" + std::string(1'000'000, '[')), "expected an object");
}

TEST(SafeTensorsFile, Rule3ATensorHasAsManyBytesAsItsShapeSays) {
  const auto tensor = [](const std::string& fields) { return refuse(raw_file(R"({"a":{)" + fields + "}}", "xy")); };
  EXPECT_EQ(tensor(R"("dtype":"U9","shape":[2],"data_offsets":[0,2])"),
            R"(tensor "a": expected a known dtype, found "U9")");
  EXPECT_PRED2(contains, tensor(R"("dtype":8,"shape":[2],"data_offsets":[0,2])"), "a dtype in a string");
  EXPECT_EQ(tensor(""), R"(tensor "a": expected the keys dtype, shape and data_offsets, found none of them)");
  EXPECT_EQ(tensor(R"("dtype":"U8","shape":[2])"),
            R"(tensor "a": expected the keys dtype, shape and data_offsets, found only dtype and shape)");
  EXPECT_PRED2(contains, tensor(R"("dtype":"U8","shape":[2],"data_offsets":[0,2],"x":1)"), R"(found "x")");
  for (const std::string shape : {"[-2]", "[2.0]", "[\"2\"]", "[[2]]", "[null]", "[1e30]", "[9223372036854775808]"})
    EXPECT_PRED2(contains, tensor(R"("dtype":"U8","data_offsets":[0,2],"shape":)" + shape),
                 "numbers from 0 to 2^63 - 1 in shape");
  EXPECT_PRED2(contains, tensor(R"("dtype":"U8","shape":2,"data_offsets":[0,2])"), "shape in an array");
  EXPECT_PRED2(contains, tensor(R"("dtype":"U8","shape":[2],"data_offsets":{})"), "data_offsets in an array");
  EXPECT_EQ(tensor(R"("dtype":"U16","shape":[2],"data_offsets":[0,2])"),
            R"(tensor "a": expected 4 bytes for U16 [2], found data_offsets [0, 2])");
  // 2^32 * 2^32 is 0 in 64 bits, and 2^63 numbers of 4 bytes are too.
  for (const std::string shape : {"[4294967296,4294967296]", "[9223372036854775807,2,1]", "[4611686018427387904]"})
    EXPECT_PRED2(contains, tensor(R"("dtype":"U32","data_offsets":[0,0],"shape":)" + shape), "counted");
  EXPECT_PRED2(contains, tensor(R"("dtype":"U8","shape":[2],"data_offsets":[2,0])"), "data_offsets [begin, end]");
  EXPECT_PRED2(contains, tensor(R"("dtype":"U8","shape":[2],"data_offsets":[0,1,2])"), "data_offsets [begin, end]");
  EXPECT_PRED2(contains, tensor(R"("dtype":"U8","shape":[2],"data_offsets":[2])"), "data_offsets [begin, end]");
}

TEST(SafeTensorsFile, Rule4DataFollowEachOtherToTheEndOfTheFile) {
  const auto two = [](const std::string& first, const std::string& second) {
    return refuse(raw_file(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)" + first +
                               R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + second + "}}",
                           "wxyz"));
  };
  EXPECT_EQ(two("[0,2]", "[1,3]"),
            R"(tensor "b": expected data to begin at offset 2, where the tensor before ends, found an overlap at 1)");
  EXPECT_PRED2(contains, two("[0,2]", "[0,2]"), "an overlap at 0");
  EXPECT_EQ(two("[1,3]", "[3,5]"),
            R"(tensor "a": expected data to begin at offset 0, where the tensor before ends, found a hole at 1)");
  EXPECT_PRED2(contains, two("[0,2]", "[3,5]"), "data_offsets up to 4, the end of the file, found [3, 5]");
  EXPECT_PRED2(contains, refuse(raw_file("{}", "x")), "up to the end of the file, 1 bytes of data, found 0");
  EXPECT_PRED2(contains, refuse(encode(example()) + "x"), "up to the end of the file, 38 bytes of data, found 37");
}

// Either a FileError or a file; anything else ends the test, or the process.
void expect_answer(const std::string& bytes) {
  try {
    const SafeTensors file = decode(bytes, "model");
    EXPECT_EQ(decode(encode(file), "again"), file);
  } catch (const FileError&) {
  }
}

TEST(SafeTensorsFile, AnyTruncationIsRefused) {
  const std::string bytes = encode(example());
  for (std::size_t length = 0; length < bytes.size(); ++length) refuse(bytes.substr(0, length));
}

TEST(SafeTensorsFile, AnyDamagedByteGivesAnAnswer) {
  const std::string bytes = encode(example());
  for (std::size_t at = 0; at < bytes.size(); ++at)
    for (int value = 0; value < 256; ++value) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(value);
      expect_answer(damaged);
    }
}

TEST(SafeTensorsFile, AnyHeapOfDamageGivesAnAnswer) {
  const std::string bytes = encode(example()), pieces = "{}[],:\"0123456789-eE.\\u truefalsnl";
  const Random random(7, "damage");
  std::uint64_t n = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string damaged = bytes;
    for (std::uint64_t hits = 1 + random.below(n++, 4); hits > 0; --hits) {
      const std::size_t at = random.below(n++, damaged.size());
      const char piece = pieces[random.below(n++, pieces.size())];
      switch (random.below(n++, 3)) {
        case 0:
          damaged[at] = piece;
          break;
        case 1:
          damaged.insert(at, 1, piece);
          break;
        default:
          damaged.erase(at, 1 + random.below(n++, 8));
      }
    }
    expect_answer(damaged);
  }
}

// --- sealed files: rule 5 -------------------------------------------------------------------------------------------

SafeTensors sealed_example() {
  SafeTensors file = example();
  file.sealed = true;
  return file;
}

TEST(SealedSafeTensors, ComeBackWithoutTheirChecksums) {
  const std::string bytes = encode(sealed_example());
  const SafeTensors read = decode(bytes, "model");
  EXPECT_EQ(read, sealed_example());
  EXPECT_NE(read, example());
  EXPECT_EQ(encode(read), bytes);
  EXPECT_EQ(decode(encode({.sealed = true}), "model"), SafeTensors{.sealed = true});
  // As long without data, whose checksums are then others.
  SafeTensors empty = sealed_example();
  for (SafeTensor& tensor : empty.tensors) tensor.data.clear();
  EXPECT_EQ(encode_header(empty).size(), encode_header(sealed_example()).size());
}

TEST(SealedSafeTensors, HaveTheChecksumsOfZlib) {
  const SafeTensors file{
      .metadata = {{"k", "v"}}, .tensors = {{"b", "U8", {9}, bytes_of("123456789")}}, .sealed = true};
  // cbf43926 is the published check value of CRC-32.
  const std::string begin = R"({"__metadata__":{"crc32":")",
                    end = R"(","crc32/b":"cbf43926","k":"v"},"b":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})";
  const std::string padding((8 - (begin.size() + 8 + end.size()) % 8) % 8, ' ');
  const std::string blank = begin + "00000000" + end + padding;
  const auto crc = crc32(0, reinterpret_cast<const Bytef*>(blank.data()), static_cast<uInt>(blank.size()));
  EXPECT_EQ(encode(file), raw_file(begin + fmt::format("{:08x}", crc) + end + padding, "123456789"));
}

TEST(SealedSafeTensors, AnyFlippedBitAndAnyTruncationIsRefused) {
  const std::string bytes = encode(sealed_example());
  for (std::size_t length = 0; length < bytes.size(); ++length) refuse(bytes.substr(0, length));
  for (std::size_t at = 0; at < bytes.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      try {
        // A file that lost its seal is no sealed one: those who want one ask for it.
        EXPECT_FALSE(decode(damaged, "model").sealed) << "bit " << bit << " of byte " << at;
      } catch (const FileError& error) {
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      }
    }
  refuse(bytes + '\0');
}

TEST(SealedSafeTensors, SayWhichChecksumIsWrong) {
  const std::string bytes = encode(sealed_example());
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string damaged = bytes;
    damaged.replace(damaged.find(from), from.size(), to);
    return refuse(damaged);
  };
  EXPECT_PRED2(contains, replaced("abcdefgh", "abcdefgi"), R"(metadata "crc32/fc1.weight": expected ")");
  EXPECT_PRED2(contains, replaced("[2,3]", "[3,2]"), R"(metadata "crc32": expected ")");
  EXPECT_PRED2(contains, replaced(R"("crc32":")", R"("crc32":"x)"), "expected a checksum of eight digits");
  EXPECT_PRED2(contains, replaced("abcdefgh", "abcdefgi"), "; the file is damaged");
}

TEST(SealedSafeTensors, HaveAChecksumForEachTensorAndNoOthers) {
  // Sealed by hand: the header's checksum is right, those of the tensors are not.
  const auto sealed = [](const std::string& seals) {
    std::string header =
        R"({"__metadata__":{"crc32":"00000000")" + seals + R"(},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
    const auto crc = crc32(0, reinterpret_cast<const Bytef*>(header.data()), static_cast<uInt>(header.size()));
    header.replace(header.find("00000000"), 8, fmt::format("{:08x}", crc));
    return raw_file(header, "x");
  };
  EXPECT_TRUE(decode(sealed(R"(,"crc32/b":"8cdc1683")"), "model").sealed);
  EXPECT_EQ(refuse(sealed("")),
            R"(metadata "crc32/b": expected "8cdc1683", the checksum of the tensor, found none; the file is damaged)");
  EXPECT_PRED2(contains, refuse(sealed(R"(,"crc32/b":"8cdc1683","crc32/c":"00000000")")),
               R"(metadata "crc32/c": expected checksums of tensors that are there, found "00000000")");
}

TEST(SealedSafeTensors, KeepTheNamesOfChecksumsForThemselves) {
  for (const char* key : {"crc32", "crc32/b"})
    for (const bool sealed : {false, true})
      EXPECT_THROW(encode({.metadata = {{key, "mine"}}, .sealed = sealed}), UsageError) << key;
}

// An entry takes more memory than bytes of the file.
TEST(SafeTensorsReader, RefusesMoreTensorsAndKeysThanAnyModelHas) {
  std::string keys, tensors;
  for (int i = 0; i < 100'000; ++i) {
    keys += fmt::format(R"({}"{:x}":"")", i ? "," : "", i);
    tensors += fmt::format(R"(,"{:x}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", i);
  }
  EXPECT_EQ(
      decode(raw_file(R"({"__metadata__":{)" + keys.substr(0, keys.rfind(',')) + "}}", ""), "model").metadata.size(),
      99'999u);
  EXPECT_PRED2(contains, refuse(raw_file(R"({"__metadata__":{)" + keys + R"(,"z":""}})", "")),
               "expected at most 100000 tensors and keys of metadata, found more");
  EXPECT_PRED2(contains, refuse(raw_file("{" + tensors.substr(1) + R"(,"z":{}})", "")),
               "expected at most 100000 tensors and keys of metadata, found more");
}

}  // namespace
}  // namespace espalier
