// Streams token ids into Megatron's `.bin/.idx` pair.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "index_file.h"
#include "partial_file.h"

namespace heph {

// Writes `<prefix>.bin` as documents come, and `<prefix>.idx` at the end.
//
// Ids are checked against the vocabulary while they are narrowed: an id that would wrap around is an error
// and never another token.  After an error nothing more is accepted, and the partial file is removed.
// One thread at a time: a call while another one runs is an error, and changes nothing.
class IndexedWriter {
public:
    static constexpr std::int64_t no_end = -1;

    // Is called with every run of bytes once it has been written to the `.bin`, in order.  What it throws ends
    // the writing, as any error does.
    using OnWrite = std::function<void(const void* bytes, std::size_t size)>;

    IndexedWriter(std::string prefix, std::uint64_t vocab_size, std::size_t buffer_bytes, OnWrite on_write = nullptr);

    // Appends documents: `lengths[i]` ids each, one after the other in `ids`, and `end` after each of them
    // unless it is `no_end`.  Every document is one sequence.
    template <typename Id>
    void append(const Id* ids, std::size_t id_count, const std::int64_t* lengths, std::size_t documents,
                std::int64_t end);

    void finalize();
    void abort();

    std::uint64_t tokens() const { return tokens_; }
    std::uint64_t documents() const { return lengths_.size(); }
    std::size_t item_size() const { return item_size_; }

private:
    // Marks the writer as at work; throws if it is.
    class Turn {
    public:
        explicit Turn(IndexedWriter& writer);
        ~Turn() { writer_.at_work_.store(false, std::memory_order_release); }
        Turn(const Turn&) = delete;
        Turn& operator=(const Turn&) = delete;

    private:
        IndexedWriter& writer_;
    };

    void require_open() const;
    void discard() noexcept;
    void check_lengths(std::size_t id_count, const std::int64_t* lengths, std::size_t documents,
                       std::int64_t end) const;
    template <typename Token, typename Id>
    void append_documents(const Id* ids, const std::int64_t* lengths, std::size_t documents, std::int64_t end);
    template <typename Token, typename Id>
    void put(const Id* ids, std::size_t count);
    void flush();
    void write_index(PartialFile& file) const;

    std::string prefix_;
    std::uint64_t vocab_size_;
    std::size_t item_size_;
    PartialFile bin_;
    OnWrite on_write_;
    std::vector<unsigned char> buffer_;
    std::size_t used_ = 0;               // bytes of buffer_ that wait to be written
    std::uint64_t tokens_ = 0;
    std::vector<std::int32_t> lengths_;  // 4 bytes per document is all that is kept in memory
    bool open_ = true;
    std::atomic<bool> at_work_{false};
};

}  // namespace heph
