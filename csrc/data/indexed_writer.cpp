#include "indexed_writer.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <utility>

namespace heph {

namespace {

constexpr std::uint64_t kUint16Limit = 65500;  // Megatron's rule: uint16 below it, int32 from it on

}  // namespace

IndexedWriter::IndexedWriter(std::string prefix, std::uint64_t vocab_size, std::size_t buffer_bytes,
                             OnWrite on_write)
    : prefix_(std::move(prefix)),
      vocab_size_(vocab_size),
      item_size_(vocab_size < kUint16Limit ? sizeof(std::uint16_t) : sizeof(std::int32_t)),
      bin_(prefix_ + ".bin"),
      on_write_(std::move(on_write)) {
    if (vocab_size == 0 || vocab_size > static_cast<std::uint64_t>(std::numeric_limits<std::int32_t>::max())) {
        throw std::invalid_argument("a vocabulary has 1 to 2147483647 tokens, not " + std::to_string(vocab_size));
    }
    buffer_.resize(std::max<std::size_t>(buffer_bytes / 8 * 8, 8));  // whole tokens of either size
}

IndexedWriter::Turn::Turn(IndexedWriter& writer) : writer_(writer) {
    if (writer.at_work_.exchange(true, std::memory_order_acquire)) {
        throw std::runtime_error("the writer of " + writer.prefix_ + " is at work: in another thread, or in on_write");
    }
}

void IndexedWriter::require_open() const {
    if (!open_) throw std::runtime_error("the writer of " + prefix_ + " is closed: it was finalized, or failed before");
}

void IndexedWriter::check_lengths(std::size_t id_count, const std::int64_t* lengths, std::size_t documents,
                                  std::int64_t end) const {
    if (end != no_end && (end < 0 || static_cast<std::uint64_t>(end) >= vocab_size_)) {
        throw std::invalid_argument("the end token " + std::to_string(end) + " is not in a vocabulary of " +
                                    std::to_string(vocab_size_) + " tokens");
    }
    const std::int64_t most = std::numeric_limits<std::int32_t>::max() - (end != no_end ? 1 : 0);
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < documents; ++i) {
        if (lengths[i] < 0 || lengths[i] > most) {
            throw std::invalid_argument("document " + std::to_string(lengths_.size() + i) + " has " +
                                        std::to_string(lengths[i]) + " tokens; an index holds 0 to " +
                                        std::to_string(most));
        }
        sum += static_cast<std::uint64_t>(lengths[i]);
    }
    if (sum != id_count) {
        throw std::invalid_argument("the lengths sum to " + std::to_string(sum) + ", but there are " +
                                    std::to_string(id_count) + " ids");
    }
}

template <typename Id>
void IndexedWriter::append(const Id* ids, std::size_t id_count, const std::int64_t* lengths, std::size_t documents,
                           std::int64_t end) {
    const Turn turn(*this);
    require_open();
    try {
        check_lengths(id_count, lengths, documents, end);
        if (item_size_ == sizeof(std::uint16_t)) {
            append_documents<std::uint16_t>(ids, lengths, documents, end);
        } else {
            append_documents<std::int32_t>(ids, lengths, documents, end);
        }
    } catch (...) {
        discard();  // part of this call may be written: the file is not to be trusted
        throw;
    }
}

template <typename Token, typename Id>
void IndexedWriter::append_documents(const Id* ids, const std::int64_t* lengths, std::size_t documents,
                                     std::int64_t end) {
    for (std::size_t i = 0; i < documents; ++i) {
        put<Token>(ids, static_cast<std::size_t>(lengths[i]));
        ids += lengths[i];
        if (end != no_end) put<Token>(&end, 1);
        lengths_.push_back(static_cast<std::int32_t>(lengths[i] + (end != no_end ? 1 : 0)));
    }
}

template <typename Token, typename Id>
void IndexedWriter::put(const Id* ids, std::size_t count) {
    while (count > 0) {
        if (used_ == buffer_.size()) flush();
        const std::size_t room = std::min(count, (buffer_.size() - used_) / sizeof(Token));
        auto* out = buffer_.data() + used_;
        bool outside = false;
        for (std::size_t i = 0; i < room; ++i) {  // no branch in the loop: the compiler vectorizes it
            // A negative id becomes a huge one here, so that one comparison finds both.
            outside |= static_cast<std::uint64_t>(static_cast<std::int64_t>(ids[i])) >= vocab_size_;
            const Token token = static_cast<Token>(ids[i]);
            std::memcpy(out + i * sizeof(Token), &token, sizeof(Token));
        }
        if (outside) {
            const Id* bad = std::find_if(ids, ids + room, [this](Id id) {
                return static_cast<std::uint64_t>(static_cast<std::int64_t>(id)) >= vocab_size_;
            });
            throw std::out_of_range("token id " + std::to_string(*bad) + " at token " +
                                    std::to_string(tokens_ + static_cast<std::uint64_t>(bad - ids)) + " (document " +
                                    std::to_string(lengths_.size()) + ") is not in a vocabulary of " +
                                    std::to_string(vocab_size_) + " tokens");
        }
        used_ += room * sizeof(Token);
        tokens_ += room;
        ids += room;
        count -= room;
    }
}

void IndexedWriter::flush() {
    bin_.write(buffer_.data(), used_);
    if (on_write_ && used_ > 0) on_write_(buffer_.data(), used_);
    used_ = 0;
}

void IndexedWriter::write_index(PartialFile& file) const {
    IndexStream out(file);
    out.put_header({item_size_ == 2 ? TokenType::uint16 : TokenType::int32, lengths_.size(), lengths_.size() + 1});
    for (const std::int32_t length : lengths_) out.put(length);
    std::int64_t pointer = 0;
    for (const std::int32_t length : lengths_) {
        out.put(pointer);
        pointer += static_cast<std::int64_t>(length) * static_cast<std::int64_t>(item_size_);
    }
    for (std::size_t i = 0; i <= lengths_.size(); ++i) out.put(static_cast<std::int64_t>(i));
    out.flush();
}

void IndexedWriter::finalize() {
    const Turn turn(*this);
    require_open();
    try {
        flush();
        bin_.sync();
        PartialFile index(prefix_ + ".idx");
        write_index(index);
        publish_pair(bin_, index);
        open_ = false;
    } catch (...) {
        discard();
        throw;
    }
}

void IndexedWriter::abort() {
    const Turn turn(*this);
    discard();
}

void IndexedWriter::discard() noexcept {
    open_ = false;
    bin_.discard();
}

#define HEPH_APPEND(Id) \
    template void IndexedWriter::append(const Id*, std::size_t, const std::int64_t*, std::size_t, std::int64_t);
HEPH_APPEND(std::uint16_t)
HEPH_APPEND(std::int32_t)
HEPH_APPEND(std::uint32_t)
HEPH_APPEND(std::int64_t)
#undef HEPH_APPEND

}  // namespace heph
