#include "index_file.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace heph {

namespace {

constexpr char kMagic[9] = {'M', 'M', 'I', 'D', 'I', 'D', 'X', '\0', '\0'};
constexpr std::uint64_t kVersion = 1;
constexpr std::uint8_t kCodeInt32 = 4;
constexpr std::uint8_t kCodeUint16 = 8;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the files are little-endian");

template <typename Value>
Value value_at(const unsigned char* bytes) {
    Value value;
    std::memcpy(&value, bytes, sizeof(value));
    return value;
}

}  // namespace

IndexHeader read_index_header(const SourceFile& file) {
    const std::uint64_t size = file.size();
    const auto fail = [&](const std::string& problem) { throw std::invalid_argument(file.path() + " " + problem); };
    if (size < IndexHeader::bytes) fail("is cut short: it has " + std::to_string(size) + " bytes");
    std::array<unsigned char, IndexHeader::bytes> raw;
    file.read(0, raw.data(), raw.size());
    if (std::memcmp(raw.data(), kMagic, sizeof(kMagic)) != 0) fail("is not an index");
    if (value_at<std::uint64_t>(&raw[9]) != kVersion) {
        fail("is an index of version " + std::to_string(value_at<std::uint64_t>(&raw[9])) + ", not 1");
    }
    const std::uint8_t code = raw[17];
    if (code != kCodeInt32 && code != kCodeUint16) fail("has dtype code " + std::to_string(code) + ", not 4 or 8");
    IndexHeader header;
    header.item_size = code == kCodeUint16 ? sizeof(std::uint16_t) : sizeof(std::int32_t);
    header.sequences = value_at<std::uint64_t>(&raw[18]);
    header.entries = value_at<std::uint64_t>(&raw[26]);
    // compared before they are multiplied, which could wrap around
    if (header.sequences > size || header.entries > size || header.file_bytes() != size) {
        fail("has " + std::to_string(size) + " bytes, which does not fit its " + std::to_string(header.sequences) +
             " sequences and " + std::to_string(header.entries) + " document indices");
    }
    return header;
}

void IndexStream::put_header(const IndexHeader& header) {
    for (const char letter : kMagic) put(letter);
    put(kVersion);
    put(header.item_size == sizeof(std::uint16_t) ? kCodeUint16 : kCodeInt32);
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
