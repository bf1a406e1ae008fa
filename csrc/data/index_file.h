// Megatron's `.idx`, little-endian: 9 bytes of magic, version u64, dtype code u8, sequence count u64, document
// index count u64, lengths i32[sequences], pointers i64[sequences] (byte offsets into the `.bin`),
// document indices i64[documents + 1].
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "partial_file.h"

namespace heph {

// What an id is stored as: a number in the header.  Megatron writes 4 and 8; it knows floats too, which are no ids.
struct TokenType {
    static constexpr int uint8 = 1, int8 = 2, int16 = 3, int32 = 4, int64 = 5, uint16 = 8;

    // Bytes of an id; 0 for a code that is no type of ids.
    static std::size_t size(int code);
    // As numpy writes it, also of the floats (6 and 7); "unknown" for other codes.
    static const char* name(int code);
};

struct IndexHeader {
    static constexpr std::size_t bytes = 34;

    int code = 0;                 // of a TokenType
    std::uint64_t sequences = 0;
    std::uint64_t entries = 0;    // document indices

    std::size_t item_size() const { return TokenType::size(code); }
    std::uint64_t lengths_at() const { return bytes; }
    std::uint64_t pointers_at() const { return lengths_at() + 4 * sequences; }
    std::uint64_t entries_at() const { return pointers_at() + 8 * sequences; }
    std::uint64_t file_bytes() const { return entries_at() + 8 * entries; }
};

// Reads the header.  Throws std::invalid_argument that names the file if it is no index of ids, or does not have
// the size that its header says.
IndexHeader read_index_header(const SourceFile& file);

// Bytes of the `.bin` that an index says, by where its last sequence ends.  Throws std::invalid_argument if that cannot
// be, or if the document indices do not run from 0 to the number of sequences.
std::uint64_t read_bin_bytes(const SourceFile& file, const IndexHeader& header);

// Collects small writes: arrays of the index are computed on the way out.
class IndexStream {
public:
    explicit IndexStream(PartialFile& file) : file_(file) { bytes_.reserve(kBytes + 64); }
    void put_header(const IndexHeader& header);
    template <typename Value>
    void put(Value value) {
        const auto* raw = reinterpret_cast<const unsigned char*>(&value);
        bytes_.insert(bytes_.end(), raw, raw + sizeof(Value));
        if (bytes_.size() >= kBytes) flush();
    }
    void flush() {
        file_.write(bytes_.data(), bytes_.size());
        bytes_.clear();
    }

private:
    static constexpr std::size_t kBytes = 1 << 20;
    PartialFile& file_;
    std::vector<unsigned char> bytes_;
};

// Gives a complete `.bin` (synced) and its `.idx` their names.
void publish_pair(PartialFile& bin, PartialFile& index);

}  // namespace heph
