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

struct IndexHeader {
    static constexpr std::size_t bytes = 34;

    std::size_t item_size = 0;    // of a token: 2 (uint16) or 4 (int32)
    std::uint64_t sequences = 0;
    std::uint64_t entries = 0;    // document indices

    std::uint64_t lengths_at() const { return bytes; }
    std::uint64_t pointers_at() const { return lengths_at() + 4 * sequences; }
    std::uint64_t entries_at() const { return pointers_at() + 8 * sequences; }
    std::uint64_t file_bytes() const { return entries_at() + 8 * entries; }
};

// Reads the header.  Throws std::invalid_argument that names the file if it is no index, or does not have the
// size that its header says.
IndexHeader read_index_header(const SourceFile& file);

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
