#include "pair_merger.h"

#include <algorithm>
#include <cstddef>
#include <stdexcept>

#include "index_file.h"
#include "partial_file.h"

namespace heph {

namespace {

constexpr std::uint64_t kCopyAtOnce = std::uint64_t{256} << 20;
constexpr std::size_t kValuesAtOnce = 1 << 17;  // 1 MiB of an index

struct Pair {
    std::string bin, idx;
    IndexHeader header;
    std::uint64_t bin_bytes = 0;
};

// Calls on_value for `count` values from byte `offset` on; a piece of them is in memory.
template <typename Value, typename OnValue>
void each_value(const SourceFile& file, std::uint64_t offset, std::uint64_t count, OnValue on_value) {
    std::vector<Value> piece(static_cast<std::size_t>(std::min<std::uint64_t>(count, kValuesAtOnce)));
    while (count > 0) {
        const auto some = static_cast<std::size_t>(std::min<std::uint64_t>(count, piece.size()));
        file.read(offset, piece.data(), some * sizeof(Value));
        for (std::size_t i = 0; i < some; ++i) on_value(piece[i]);
        offset += some * sizeof(Value);
        count -= some;
    }
}

Pair open_pair(const std::string& prefix) {
    Pair pair{prefix + ".bin", prefix + ".idx", {}, 0};
    const SourceFile index(pair.idx);
    pair.header = read_index_header(index);
    pair.bin_bytes = SourceFile(pair.bin).size();
    const std::uint64_t expected = read_bin_bytes(index, pair.header);
    if (pair.bin_bytes != expected) {
        throw std::invalid_argument(pair.bin + " has " + std::to_string(pair.bin_bytes) + " bytes, and " + pair.idx +
                                    " says " + std::to_string(expected));
    }
    return pair;
}

std::vector<Pair> open_pairs(const std::vector<std::string>& prefixes) {
    if (prefixes.empty()) throw std::invalid_argument("there is no pair to merge");
    std::vector<Pair> pairs;
    for (const std::string& prefix : prefixes) {
        pairs.push_back(open_pair(prefix));
        const Pair &first = pairs.front(), &pair = pairs.back();
        if (pair.header.code != first.header.code) {
            throw std::invalid_argument(first.idx + " holds " + TokenType::name(first.header.code) + ", and " + pair.idx +
                                        " holds " + TokenType::name(pair.header.code) +
                                        ": they were made with different vocabularies");
        }
    }
    return pairs;
}

void merge_bins(const std::vector<Pair>& pairs, PartialFile& bin, const OnCopied& on_copied) {
    for (const Pair& pair : pairs) {
        const SourceFile source(pair.bin);
        for (std::uint64_t at = 0; at < pair.bin_bytes; at += kCopyAtOnce) {
            const std::uint64_t size = std::min(kCopyAtOnce, pair.bin_bytes - at);
            bin.copy(source, at, size);
            if (on_copied) on_copied(size);
        }
    }
}

// The three arrays come one after the other, so that each index is opened three times and none is held.
void merge_indices(const std::vector<Pair>& pairs, PartialFile& index) {
    IndexHeader total;
    total.code = pairs.front().header.code;
    total.entries = 1;
    for (const Pair& pair : pairs) {
        total.sequences += pair.header.sequences;
        total.entries += pair.header.entries - 1;
    }
    IndexStream out(index);
    out.put_header(total);
    out.flush();
    for (const Pair& pair : pairs) {
        index.copy(SourceFile(pair.idx), pair.header.lengths_at(), 4 * pair.header.sequences);
    }
    std::uint64_t bytes = 0, sequences = 0;
    for (const Pair& pair : pairs) {
        const SourceFile source(pair.idx);
        each_value<std::uint64_t>(source, pair.header.pointers_at(), pair.header.sequences,
                                  [&](std::uint64_t pointer) { out.put(pointer + bytes); });
        bytes += pair.bin_bytes;
    }
    for (const Pair& pair : pairs) {
        const SourceFile source(pair.idx);
        each_value<std::uint64_t>(source, pair.header.entries_at(), pair.header.entries - 1,
                                  [&](std::uint64_t sequence) { out.put(sequence + sequences); });
        sequences += pair.header.sequences;
    }
    out.put(sequences);
    out.flush();
}

}  // namespace

void merge_pairs(const std::vector<std::string>& prefixes, const std::string& target, const OnCopied& on_copied) {
    const std::vector<Pair> pairs = open_pairs(prefixes);
    PartialFile bin(target + ".bin");
    merge_bins(pairs, bin, on_copied);
    bin.sync();
    PartialFile index(target + ".idx");
    merge_indices(pairs, index);
    publish_pair(bin, index);
}

}  // namespace heph
