#include "index_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

namespace heph {

namespace {

constexpr char kMagic[9] = {'M', 'M', 'I', 'D', 'I', 'D', 'X', '\0', '\0'};
constexpr std::uint64_t kVersion = 1;
constexpr const char* kAgain = ". Copy the file again, or run `heph tokenize` again.";

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the files are little-endian");

template <typename Value>
Value value_at(const unsigned char* bytes) {
    Value value;
    std::memcpy(&value, bytes, sizeof(value));
    return value;
}

template <typename Value>
Value read_value(const SourceFile& file, std::uint64_t offset) {
    Value value;
    file.read(offset, &value, sizeof(value));
    return value;
}

// Bytes as Python writes them.
std::string quoted(const void* bytes, std::size_t size) {
    std::string out = "b'";
    for (std::size_t i = 0; i < size; ++i) {
        const auto byte = static_cast<const unsigned char*>(bytes)[i];
        char text[8];
        std::snprintf(text, sizeof(text), byte >= 0x20 && byte < 0x7F ? "%c" : "\\x%02x", byte);
        out += text;
    }
    return out + "'";
}

}  // namespace

std::size_t TokenType::size(int code) {
    switch (code) {
        case uint8: case int8: return 1;
        case int16: case uint16: return 2;
        case int32: return 4;
        case int64: return 8;
        default: return 0;
    }
}

const char* TokenType::name(int code) {
    constexpr const char* names[] = {"unknown", "uint8", "int8", "int16", "int32", "int64", "float64", "float32", "uint16"};
    return names[code > 0 && code <= uint16 ? code : 0];
}

IndexHeader read_index_header(const SourceFile& file) {
    const std::uint64_t size = file.size();
    const auto fail = [&](const std::string& problem) {
        throw std::invalid_argument(file.path() + " " + problem + kAgain);
    };
    std::array<unsigned char, IndexHeader::bytes> raw;
    const auto present = static_cast<std::size_t>(std::min<std::uint64_t>(size, raw.size()));
    file.read(0, raw.data(), present);
    if (present == 0 || std::memcmp(raw.data(), kMagic, std::min(present, sizeof(kMagic))) != 0) {
        fail("is not an index: it begins with " + quoted(raw.data(), std::min(present, sizeof(kMagic))) +
             ", and should begin with " + quoted(kMagic, sizeof(kMagic)));
    }
    if (present < raw.size()) {
        fail("is cut short: it has " + std::to_string(size) + " bytes, and its header alone has " +
             std::to_string(raw.size()));
    }
    if (const auto version = value_at<std::uint64_t>(&raw[9]); version != kVersion) {
        fail("is an index of version " + std::to_string(version) + ", and this program reads version 1");
    }
    IndexHeader header;
    header.code = raw[17];
    if (header.item_size() == 0) {
        fail("has dtype code " + std::to_string(header.code) + " (" + TokenType::name(header.code) +
             "); a token file has one of 4 (int32), 8 (uint16), 1 (uint8), 2 (int8), 3 (int16), 5 (int64)");
    }
    header.sequences = value_at<std::uint64_t>(&raw[18]);
    header.entries = value_at<std::uint64_t>(&raw[26]);
    // compared before they are multiplied, which could wrap around
    const bool fits = header.sequences <= size && header.entries <= size;
    if (!fits || header.file_bytes() != size) {
        const bool is_short = !fits || size < header.file_bytes();
        fail(std::string(is_short ? "is cut short" : "is too long (a multimodal index is not read here)") + ": it has " +
             std::to_string(size) + " bytes, " + (fits ? "and " + std::to_string(header.file_bytes()) : "too few") +
             " are right for its " + std::to_string(header.sequences) + " sequences and " +
             std::to_string(header.entries) + " document indices");
    }
    return header;
}

std::uint64_t read_bin_bytes(const SourceFile& file, const IndexHeader& header) {
    const auto fail = [&](const std::string& problem) {
        throw std::invalid_argument(file.path() + ": " + problem + kAgain);
    };
    const auto first = header.entries ? read_value<std::int64_t>(file, header.entries_at()) : -1;
    const auto last = header.entries ? read_value<std::int64_t>(file, header.file_bytes() - 8) : -1;
    if (first != 0 || static_cast<std::uint64_t>(last) != header.sequences) {
        fail("the document indices run from " + std::to_string(first) + " to " + std::to_string(last) +
             ", and should run from 0 to the sequence count " + std::to_string(header.sequences) +
             ". A merge without offsets makes such files: merge or tokenize again");
    }
    if (header.sequences == 0) return 0;
    const auto length = read_value<std::int32_t>(file, header.pointers_at() - 4);
    const auto pointer = read_value<std::int64_t>(file, header.entries_at() - 8);
    const auto size = static_cast<std::int64_t>(header.item_size());
    if (length < 0 || pointer < 0 || pointer > INT64_MAX / 2) {
        fail("the last sequence is at byte " + std::to_string(pointer) + " and has " + std::to_string(length) +
             " tokens of " + std::to_string(size) + " bytes, which cannot be");
    }
    return static_cast<std::uint64_t>(pointer + length * size);
}

void IndexStream::put_header(const IndexHeader& header) {
    for (const char letter : kMagic) put(letter);
    put(kVersion);
    put(static_cast<std::uint8_t>(header.code));
    put(header.sequences);
    put(header.entries);
}

void publish_pair(PartialFile& bin, PartialFile& index) {
    index.sync();
    // An old index must not meet the new .bin, not even if the machine stops between the two renames.
    if (::unlink(index.path().c_str()) != 0 && errno != ENOENT) {
        throw FileError("remove the old file", index.path(), errno);
    }
    bin.publish();
    index.publish();
    sync_folder(bin.path());
}

}  // namespace heph
