// A source's tokens: Megatron pairs (`.bin`, `.idx`, and where there is one the `.mask`) in order, read as one stream.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace heph {

// A document of the stream: tokens [start, start + length).
struct Document {
    std::int64_t start = 0;
    std::int64_t length = 0;
};

// What is known of a pair before it is opened, from a manifest or from its header.
struct ShardSpec {
    std::string prefix;
    int code = 0;                 // dtype code of the header
    std::uint64_t tokens = 0;
    std::uint64_t sequences = 0;
    std::uint64_t entries = 0;    // document indices: documents + 1
    bool has_mask = false;
};

// Opening opens no file: a shard's files are opened at their first read and then checked against the spec.  All
// reads are pread, so that a file that shrinks is an exception and never a signal.  Thread-safe.
// Throws std::invalid_argument, which names the path, both values and what to do, for a range outside the stream and
// for files that are damaged or not those of the spec; FileError where the system refuses.
class TokenReader {
public:
    explicit TokenReader(std::vector<ShardSpec> shards, std::size_t open_shards = 256);
    ~TokenReader();
    TokenReader(const TokenReader&) = delete;
    TokenReader& operator=(const TokenReader&) = delete;

    std::uint64_t total_tokens() const;

    // Appends every document that starts in [start, start + count), in order and across shards; none is empty.
    void documents(std::uint64_t start, std::uint64_t count, std::vector<Document>& out) const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace heph
