#include "token_reader.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "token_convert.h"

namespace heph {

namespace {

// No file has that many; below it sums and products of 64 bits cannot wrap around.
constexpr std::uint64_t kMost = std::uint64_t{1} << 56;

void check_spec(const ShardSpec& spec) {
    const auto fail = [&](const std::string& problem) {
        throw std::invalid_argument("the shard " + spec.prefix + " " + problem);
    };
    if (TokenType::size(spec.code) == 0) {
        fail("has dtype code " + std::to_string(spec.code) + " (" + TokenType::name(spec.code) + "), which is no type of ids");
    }
    if (spec.entries == 0) fail("has no document index, not even the one that ends the last document");
    if (spec.tokens > kMost || spec.sequences > kMost || spec.entries > kMost) fail("has more than 2^56 of something");
}

// The part that holds `position`; of parts that are empty the one after them.
std::size_t part_of(const std::vector<std::uint64_t>& edges, std::uint64_t position) {
    return static_cast<std::size_t>(std::upper_bound(edges.begin(), edges.end(), position) - edges.begin()) - 1;
}

}  // namespace

TokenReader::TokenReader(std::vector<ShardSpec> shards, std::size_t open_shards)
    : specs_(std::move(shards)), token_edges_{0}, document_edges_{0}, open_(specs_, counters_, open_shards) {
    for (const ShardSpec& spec : specs_) {
        check_spec(spec);
        token_edges_.push_back(token_edges_.back() + spec.tokens);
        document_edges_.push_back(document_edges_.back() + spec.entries - 1);
        if (token_edges_.back() > kMost) throw std::invalid_argument("the shards have more than 2^56 tokens");
        is_narrow_ = is_narrow_ && spec.code == TokenType::uint16;
        has_masks_ = has_masks_ || spec.has_mask;
        largest_item_ = std::max<std::uint64_t>(largest_item_, TokenType::size(spec.code));
    }
}

void TokenReader::check_range(std::uint64_t start, std::uint64_t count) const {
    if (start <= total_tokens() && count <= total_tokens() - start) return;
    throw std::out_of_range("tokens " + std::to_string(start) + " to " + std::to_string(start + count) +
                            " are not inside the source, which has " + std::to_string(total_tokens()) +
                            (specs_.empty() ? "" : " (its first shard is " + specs_[0].prefix + ")"));
}

template <typename OnPart>
void TokenReader::each_part(std::uint64_t start, std::uint64_t count, OnPart on_part) const {
    check_range(start, count);
    if (count == 0) return;
    const std::uint64_t stop = start + count;
    for (std::size_t shard = part_of(token_edges_, start); start < stop; ++shard) {
        const std::uint64_t end = std::min(stop, token_edges_[shard + 1]);
        if (end > start) on_part(shard, start - token_edges_[shard], end - start, count - (stop - start));
        start = end;
    }
}

template <typename Id>
void TokenReader::read(std::uint64_t start, std::uint64_t count, Id* out, std::uint64_t limit, Wait wait) const {
    each_part(start, count, [&](std::size_t shard, std::uint64_t first, std::uint64_t some, std::uint64_t at) {
        const auto open = open_.get(shard);
        const std::uint64_t bad = read_ids(open->bin(), specs_[shard].code, first, some, out + at, limit, wait);
        if (bad == some) return;
        std::int64_t id = 0;
        read_id(open->bin(), specs_[shard].code, first + bad, id);
        refuse_id(shard, first + bad, id, limit);
    });
}

template void TokenReader::read(std::uint64_t, std::uint64_t, std::uint16_t*, std::uint64_t, Wait) const;
template void TokenReader::read(std::uint64_t, std::uint64_t, std::int32_t*, std::uint64_t, Wait) const;

void TokenReader::refuse_id(std::size_t shard, std::uint64_t token, std::int64_t id, std::uint64_t limit) const {
    const std::string where = specs_[shard].prefix + ".bin holds the id " + std::to_string(id) + " at its token " +
                              std::to_string(token) + " (token " + std::to_string(token_edges_[shard] + token) +
                              " of the source)";
    if (limit == kAnyId || id < 0) {
        throw std::invalid_argument(where + ", and ids are 0 to 2147483647: it is damaged, or no file of token ids. "
                                            "Copy it again, or tokenize its text again.");
    }
    throw std::invalid_argument(where + ", but the model's vocabulary is " + std::to_string(limit) + " (ids up to " +
                                std::to_string(limit - 1) +
                                "): another tokenizer made it, or it is damaged. Tokenize its text with this model's "
                                "tokenizer.");
}

void TokenReader::clear_loss(std::uint64_t start, std::uint64_t count, bool* loss, Wait wait) const {
    each_part(start, count, [&](std::size_t shard, std::uint64_t first, std::uint64_t some, std::uint64_t at) {
        if (specs_[shard].has_mask) open_.get(shard)->loss_spans().clear(first, some, loss + at, wait);
    });
}

void TokenReader::documents(std::uint64_t start, std::uint64_t count, std::vector<Document>& out, Wait wait) const {
    each_part(start, count, [&](std::size_t shard, std::uint64_t first, std::uint64_t some, std::uint64_t) {
        const auto base = static_cast<std::int64_t>(token_edges_[shard]);
        open_.get(shard)->documents().starting(first, first + some, base, out, wait);
    });
}

PlacedDocument TokenReader::document_at(std::uint64_t position) const {
    check_range(position, 1);
    const std::size_t shard = part_of(token_edges_, position);
    const auto open = open_.get(shard);
    const std::uint64_t number = open->documents().holding(position - token_edges_[shard]);
    Document found = open->documents().document(number);
    found.start += static_cast<std::int64_t>(token_edges_[shard]);
    return {shard, number, found};
}

PlacedDocument TokenReader::document(std::uint64_t number) const {
    if (number >= total_documents()) {
        throw std::out_of_range("there is no document " + std::to_string(number) + ": the source has " +
                                std::to_string(total_documents()));
    }
    const std::size_t shard = part_of(document_edges_, number);
    const std::uint64_t local = number - document_edges_[shard];
    const auto open = open_.get(shard);
    Document found = open->documents().document(local);
    found.start += static_cast<std::int64_t>(token_edges_[shard]);
    return {shard, local, found};
}

void TokenReader::touch(std::uint64_t start, std::uint64_t count) const {
    each_part(start, count, [&](std::size_t shard, std::uint64_t first, std::uint64_t some, std::uint64_t) {
        const std::uint64_t size = TokenType::size(specs_[shard].code);
        open_.get(shard)->bin().touch(first * size, some * size);
    });
}

}  // namespace heph
