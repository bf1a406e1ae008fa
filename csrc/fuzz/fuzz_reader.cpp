// Random sources read in random ways, against arrays of the same; then damaged ones, which may only be refused.
#include <algorithm>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include "../data/batch_reader.h"
#include "reader_model.h"

namespace {

namespace fs = std::filesystem;
using fuzz::Model;

const fs::path& folder() {
    static const fs::path path = fs::temp_directory_path() / ("heph-reader-" + std::to_string(::getpid()));
    return path;
}

// The next reads of a file have to go to the disk.
void drop_from_cache(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY);
    if (fd < 0) return;
    ::fdatasync(fd);
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
}

void check_reads(fuzz::Random& random, const heph::TokenReader& reader, const Model& model) {
    const std::size_t start = random.below(model.ids.size() + 1), count = random.below(model.ids.size() - start + 1);
    std::vector<std::int32_t> ids(count);
    reader.read(start, count, ids.data());
    const auto loss = std::make_unique<bool[]>(count);
    std::fill_n(loss.get(), count, true);
    reader.clear_loss(start, count, loss.get());
    for (std::size_t i = 0; i < count; ++i) {
        FUZZ_CHECK(ids[i] == model.ids[start + i]);
        FUZZ_CHECK(loss[i] == (model.loss[start + i] != 0));
    }
    std::vector<heph::Document> found;
    reader.documents(start, count, found);
    std::size_t at = 0;
    for (const fuzz::ModelDocument& document : model.documents) {
        const auto begin = static_cast<std::size_t>(document.start);
        if (document.length == 0 || begin < start || begin >= start + count) continue;
        FUZZ_CHECK(at < found.size() && found[at].start == document.start && found[at].length == document.length);
        ++at;
    }
    FUZZ_CHECK(at == found.size());
    if (!model.ids.empty()) {
        const std::size_t position = random.below(model.ids.size());
        const heph::PlacedDocument place = reader.document_at(position);
        const fuzz::ModelDocument& expected = model.at(static_cast<std::int64_t>(position));
        FUZZ_CHECK(place.shard == expected.shard && place.number == expected.number);
        FUZZ_CHECK(place.document.start == expected.start && place.document.length == expected.length);
    }
    if (!model.documents.empty()) {
        const std::size_t number = random.below(model.documents.size());
        const heph::PlacedDocument place = reader.document(number);
        FUZZ_CHECK(place.document.start == model.documents[number].start);
        FUZZ_CHECK(place.document.length == model.documents[number].length);
    }
}

// A row of pieces with gaps between them.
std::vector<heph::Piece> make_pieces(fuzz::Random& random, std::int64_t rows, std::int64_t width, std::int64_t tokens,
                                     std::int64_t more) {
    std::vector<heph::Piece> pieces;
    for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t column = random.one_in(3) ? static_cast<std::int64_t>(random.below(3)) : 0; column < width;) {
            const std::int64_t most = std::min(width - column, tokens - more);
            if (most < 1) break;
            const std::int64_t count =
                random.one_in(3) ? most : 1 + static_cast<std::int64_t>(random.below(static_cast<std::size_t>(most)));
            const auto start = static_cast<std::int64_t>(random.below(static_cast<std::size_t>(tokens - count - more + 1)));
            pieces.push_back({row, column, 0, start, count});
            column += count + (random.one_in(3) ? static_cast<std::int64_t>(random.below(5)) : 0);
        }
    }
    return pieces;
}

// What the arrays should hold, position by position.
struct Expected {
    std::vector<std::int64_t> tokens, labels;
    std::vector<char> loss;
    std::vector<std::int32_t> edges;
};

Expected expect(const Model& model, const std::vector<heph::Piece>& pieces, std::int64_t rows, std::int64_t columns,
                bool apart, bool joined) {
    const std::int64_t width = columns + joined;
    Expected out;
    for (std::int64_t row = 0; row < rows; ++row) {
        std::vector<std::int64_t> source(static_cast<std::size_t>(width), -1), piece(static_cast<std::size_t>(width), -1);
        for (std::size_t i = 0; i < pieces.size(); ++i) {
            for (std::int64_t k = 0; pieces[i].row == row && k < pieces[i].count; ++k) {
                source[static_cast<std::size_t>(pieces[i].column + k)] = pieces[i].start + k;
                piece[static_cast<std::size_t>(pieces[i].column + k)] = static_cast<std::int64_t>(i);
            }
        }
        for (std::int64_t c = 0; c < columns; ++c) {
            const auto at = static_cast<std::size_t>(c);
            const std::int64_t token = source[at];
            const std::int64_t label = token < 0 ? -1 : joined ? source[at + 1] : token + 1;
            out.tokens.push_back(token < 0 ? 0 : model.ids[static_cast<std::size_t>(token)]);
            out.labels.push_back(label < 0 ? 0 : model.ids[static_cast<std::size_t>(label)]);
            const bool crosses = apart && label >= 0 && (model.starts(label) || (joined && piece[at] != piece[at + 1]));
            out.loss.push_back(label >= 0 && !crosses && model.loss[static_cast<std::size_t>(label)]);
            bool edge = c == 0 || (token < 0) != (source[at - 1] < 0);
            if (token >= 0 && c > 0 && apart) edge = edge || piece[at] != piece[at - 1] || model.starts(token);
            if (edge) out.edges.push_back(static_cast<std::int32_t>(row * columns + c));
        }
    }
    out.edges.push_back(static_cast<std::int32_t>(rows * columns));
    return out;
}

template <typename Id>
void check_batch(fuzz::Random& random, const std::shared_ptr<heph::TokenReader>& reader, const Model& model,
                 const std::shared_ptr<heph::ReadAhead>& ahead) {
    const bool apart = random.one_in(2), joined = random.one_in(2);
    const auto rows = static_cast<std::int64_t>(random.below(4)), columns = static_cast<std::int64_t>(1 + random.below(90));
    const auto pieces =
        make_pieces(random, rows, columns + joined, static_cast<std::int64_t>(model.ids.size()), joined ? 0 : 1);
    const auto size = static_cast<std::size_t>(rows * columns);
    std::vector<Id> tokens(size, Id{77}), labels(size, Id{77});
    const auto loss = std::make_unique<bool[]>(size);
    const heph::BatchReader batch({reader}, {apart}, random.one_in(2) && sizeof(Id) == 4 ? 0 : sizeof(Id) == 2 ? 65536 : 0x80000000u, ahead);
    const auto edges = batch.read(pieces.data(), pieces.size(),
                                  heph::BatchArrays<Id>{tokens.data(), labels.data(), loss.get(), rows, columns},
                                  joined ? heph::Layout::joined : heph::Layout::separate);
    const Expected expected = expect(model, pieces, rows, columns, apart, joined);
    FUZZ_CHECK(edges == expected.edges);
    for (std::size_t i = 0; i < size; ++i) {
        FUZZ_CHECK(tokens[i] == static_cast<Id>(expected.tokens[i]) && labels[i] == static_cast<Id>(expected.labels[i]));
        FUZZ_CHECK(loss[i] == (expected.loss[i] != 0));
    }
}

// Every question, of something that may be damaged: an exception at most.
void ask_all(fuzz::Random& random, const std::vector<heph::ShardSpec>& specs, const std::shared_ptr<heph::ReadAhead>& ahead,
             const std::function<void()>& between) {
    std::shared_ptr<heph::TokenReader> reader;
    const auto attempt = [](const auto& body) {
        try {
            body();
        } catch (const std::exception&) {
        }
    };
    attempt([&] { reader = std::make_shared<heph::TokenReader>(specs, 2); });
    if (!reader) return;
    const std::uint64_t total = reader->total_tokens();
    for (int i = 0; i < 6; ++i) {
        const std::uint64_t start = random.below(total + 1), count = random.below(std::min<std::uint64_t>(total - start, 5000) + 1);
        std::vector<std::int32_t> ids(count);
        std::vector<heph::Document> found;
        const auto loss = std::make_unique<bool[]>(count);
        attempt([&] { reader->read(start, count, ids.data()); });
        attempt([&] { reader->clear_loss(start, count, loss.get()); });
        attempt([&] { reader->documents(start, count, found); });
        for (const heph::Document& document : found) {
            FUZZ_CHECK(document.length > 0 && document.start >= static_cast<std::int64_t>(start));
            FUZZ_CHECK(document.start + document.length <= static_cast<std::int64_t>(total));
        }
        attempt([&] { reader->document_at(start); });
        attempt([&] { reader->document(random.next() % (2 * reader->total_documents() + 1)); });
        attempt([&] {
            std::vector<heph::Piece> pieces(random.below(4));
            for (heph::Piece& piece : pieces) {
                piece = {static_cast<std::int64_t>(random.below(3)), static_cast<std::int64_t>(random.below(60)), 0,
                         static_cast<std::int64_t>(random.below(total + 2)), static_cast<std::int64_t>(random.below(70))};
                if (random.one_in(9)) (&piece.row)[random.below(5)] = static_cast<std::int64_t>(random.next());
            }
            std::vector<std::int32_t> tokens(128), labels(128);
            bool flags[128];
            heph::BatchReader({reader}, {random.one_in(2)}, 100, ahead)
                .read(pieces.data(), pieces.size(), heph::BatchArrays<std::int32_t>{tokens.data(), labels.data(), flags, 2, 64},
                      random.one_in(2) ? heph::Layout::joined : heph::Layout::separate);
        });
        if (i == 2) between();
    }
}

void damage(fuzz::Random& random, const std::string& path) {
    std::error_code none;
    const std::uint64_t size = fs::exists(path) ? fs::file_size(path) : 0;
    if (size == 0) return;
    if (random.one_in(4)) fs::resize_file(path, random.below(size), none);
    if (random.one_in(8)) fs::resize_file(path, size + random.below(5000), none);
    std::fstream stream(path, std::ios::binary | std::ios::in | std::ios::out);
    for (std::size_t changes = random.below(6); changes > 0; --changes) {
        const std::uint64_t values[] = {random.next(), 0, UINT64_MAX, random.below(500), std::uint64_t{1} << 62, INT64_MAX};
        const std::uint64_t value = values[random.below(6)];
        stream.seekp(static_cast<std::streamoff>(random.one_in(4) ? random.below(40) : random.below(size)));
        stream.write(reinterpret_cast<const char*>(&value), random.one_in(2) ? 1 : 8);
    }
}

void check_threads(fuzz::Random& random, const std::shared_ptr<heph::TokenReader>& reader, const Model& model,
                   const std::shared_ptr<heph::ReadAhead>& ahead) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&, seed = random.next()] {
            fuzz::Random own(seed);
            for (int k = 0; k < 4; ++k) {
                ahead->want(reader, own.below(model.ids.size() + 1), own.below(500));
                check_reads(own, *reader, model);
                check_batch<std::int32_t>(own, reader, model, ahead);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
}

void round(fuzz::Random& random) {
    fs::create_directories(folder());
    constexpr int kCodes[] = {1, 2, 3, 4, 5, 8};
    Model model;
    const bool mixed = random.one_in(4), large = random.one_in(10);
    int code = kCodes[random.below(6)];
    for (std::size_t shards = 1 + random.below(4); shards > 0; --shards) {
        if (mixed) code = kCodes[random.below(6)];
        fuzz::add_shard(random, (folder() / std::to_string(model.specs.size())).string(), code, large ? 4000 : 40, model);
    }
    const auto reader = std::make_shared<heph::TokenReader>(model.specs, 1 + random.below(3));
    const auto ahead = std::make_shared<heph::ReadAhead>(3, random.one_in(2) ? 4096 : 1 << 20);
    FUZZ_CHECK(reader->total_tokens() == model.ids.size() && reader->total_documents() == model.documents.size());
    for (int i = large ? 4 : 12; i > 0; --i) {
        if (random.one_in(40)) {
            for (const auto& spec : model.specs) {
                for (const char* suffix : {".bin", ".idx", ".mask"}) drop_from_cache(spec.prefix + suffix);
            }
        }
        check_reads(random, *reader, model);
        const bool fits = std::none_of(model.specs.begin(), model.specs.end(), [](const heph::ShardSpec& spec) {
            return fuzz::id_limit(spec.code) > 65536;
        });
        const auto side = random.one_in(2) ? ahead : nullptr;
        if (fits && random.one_in(2)) check_batch<std::uint16_t>(random, reader, model, side);
        else check_batch<std::int32_t>(random, reader, model, side);
        FUZZ_CHECK(reader->open_shards() <= 3);
    }
    if (!large) check_threads(random, reader, model, ahead);
    const auto any = [&] { return random.pick(model.specs).prefix + (const char*[]){".bin", ".idx", ".idx", ".mask"}[random.below(4)]; };
    if (random.one_in(2)) damage(random, any());
    auto specs = model.specs;
    if (random.one_in(4)) {
        heph::ShardSpec& spec = specs[random.below(specs.size())];
        std::uint64_t* numbers[] = {&spec.tokens, &spec.sequences, &spec.entries};
        *numbers[random.below(3)] = random.one_in(2) ? random.below(200) : random.next();
        if (random.one_in(3)) spec.code = static_cast<int>(random.below(10));
    }
    ask_all(random, specs, ahead, [&] { damage(random, any()); });  // files change while they are open, too
    fs::remove_all(folder());
}

}  // namespace

int main(int count, char** arguments) { return fuzz::run(count, arguments, 300, round); }
