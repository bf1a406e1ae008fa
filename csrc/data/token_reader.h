// A source's tokens: Megatron pairs (`.bin`, `.idx`, and where there is one the `.mask`) in order, read as one stream.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "document_index.h"
#include "open_shards.h"
#include "token_file.h"
#include "token_shard.h"

namespace heph {

// A document and its place in the source.
struct PlacedDocument {
    std::uint64_t shard = 0, number = 0;  // number within the shard
    Document document;                    // in tokens of the stream
};

// Opening opens no file: a shard's files are opened at their first read and then checked against the spec.  All
// reads are pread, so that a file that shrinks is an exception and never a signal.  Thread-safe.
// Throws std::invalid_argument, which names the path, both values and what to do, for files that are damaged or not
// those of the spec; std::out_of_range for a range outside the stream; FileError where the system refuses.  With
// Wait::no also ColdRead, as soon as something is not in the page cache.
class TokenReader {
public:
    static constexpr std::size_t kOpenShards = 256;
    static constexpr std::uint64_t kAnyId = std::uint64_t{1} << 31;

    explicit TokenReader(std::vector<ShardSpec> shards, std::size_t open_shards = kOpenShards);
    TokenReader(const TokenReader&) = delete;
    TokenReader& operator=(const TokenReader&) = delete;

    std::uint64_t total_tokens() const { return token_edges_.back(); }
    std::uint64_t total_documents() const { return document_edges_.back(); }
    bool is_narrow() const { return is_narrow_; }  // all shards hold uint16
    bool has_masks() const { return has_masks_; }

    void check_range(std::uint64_t start, std::uint64_t count) const;

    // Ids [start, start + count) as std::uint16_t or std::int32_t; throws for ids that are not below `limit`.
    template <typename Id>
    void read(std::uint64_t start, std::uint64_t count, Id* out, std::uint64_t limit = kAnyId,
              Wait wait = Wait::yes) const;

    // Sets loss[i] to false where token start + i carries no loss; leaves the others.
    void clear_loss(std::uint64_t start, std::uint64_t count, bool* loss, Wait wait = Wait::yes) const;

    // Appends every document that starts in [start, start + count), in order and across shards; none is empty.
    void documents(std::uint64_t start, std::uint64_t count, std::vector<Document>& out, Wait wait = Wait::yes) const;

    PlacedDocument document_at(std::uint64_t position) const;
    PlacedDocument document(std::uint64_t number) const;  // also the empty ones are counted

    // Has tokens fetched into the page cache, and does not wait for them.
    void touch(std::uint64_t start, std::uint64_t count) const;
    std::uint64_t bytes_of(std::uint64_t count) const { return count * largest_item_; }  // at most

    const ReadCounters& counters() const { return counters_; }
    std::size_t open_shards() const { return open_.size(); }

private:
    // Calls on_part(shard, first token in it, count, place in the range) for each shard that the range touches.
    template <typename OnPart>
    void each_part(std::uint64_t start, std::uint64_t count, OnPart on_part) const;
    [[noreturn]] void refuse_id(std::size_t shard, std::uint64_t token, std::int64_t id, std::uint64_t limit) const;

    std::vector<ShardSpec> specs_;
    std::vector<std::uint64_t> token_edges_, document_edges_;  // of shard i [i, i + 1)
    bool is_narrow_ = true, has_masks_ = false;
    std::uint64_t largest_item_ = 1;
    mutable ReadCounters counters_;
    mutable OpenShards open_;  // last: its files count in the counters
};

}  // namespace heph
