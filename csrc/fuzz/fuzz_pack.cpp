// Packing against the plainest packer, and packed orders over files: through any changes of length every position of
// every document comes exactly once an epoch.
#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include <unistd.h>

#include "../data/indexed_writer.h"
#include "../data/pack_order.h"
#include "fuzz.h"

namespace {

namespace fs = std::filesystem;
using heph::Run;
using Window = std::vector<std::pair<std::int64_t, std::int64_t>>;

std::int64_t some_length(fuzz::Random& random) {
    const std::size_t limits[] = {1, 3, 10, 64, 65, 200, 5000};
    return 1 + static_cast<std::int64_t>(random.below(random.pick(std::vector<std::size_t>(limits, limits + 7))));
}

// Best-fit decreasing by its definition: every window is looked at for every piece.
std::vector<Window> plain_windows(const std::vector<Run>& items, std::int64_t length) {
    struct Open {
        std::int64_t room, stamp;
        Window runs;
    };
    std::vector<Run> pieces;
    for (const Run& item : items) {
        for (std::int64_t done = 0; done < item.count; done += length) {
            pieces.push_back({item.start + done, std::min(length, item.count - done)});
        }
    }
    std::stable_sort(pieces.begin(), pieces.end(), [](const Run& a, const Run& b) { return a.count > b.count; });
    std::vector<Open> windows;
    std::int64_t clock = 0;
    for (const Run& piece : pieces) {
        Open* best = nullptr;
        for (Open& window : windows) {
            if (window.room < piece.count) continue;
            const bool tighter = !best || window.room < best->room;
            if (tighter || (window.room == best->room && window.stamp > best->stamp)) best = &window;
        }
        if (!best) best = &windows.emplace_back(Open{length, 0, {}});
        best->room -= piece.count;
        best->stamp = ++clock;
        best->runs.emplace_back(piece.start, piece.count);
    }
    std::vector<Window> all;
    for (Open& window : windows) {
        std::sort(window.runs.begin(), window.runs.end());
        all.push_back(std::move(window.runs));
    }
    std::sort(all.begin(), all.end());
    return all;
}

std::vector<Window> sorted_windows(const heph::Windows& packed) {
    std::vector<Window> all(packed.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
        for (std::uint32_t k = packed.begins[i]; k < packed.begins[i + 1]; ++k) {
            all[i].emplace_back(packed.runs[k].start, packed.runs[k].count);
        }
    }
    std::sort(all.begin(), all.end());
    return all;
}

void check_packing(fuzz::Random& random, std::vector<std::unique_ptr<heph::Packer>>& packers,
                   std::vector<std::int64_t>& lengths) {
    if (packers.empty() || random.one_in(4)) {
        lengths.push_back(some_length(random));
        packers.push_back(std::make_unique<heph::Packer>(lengths.back()));
    }
    const std::size_t which = random.below(packers.size());  // one that has packed before is as good as new
    std::vector<Run> items(random.below(80));
    const std::size_t most = 1 + random.below(static_cast<std::size_t>(4 * lengths[which]));
    std::int64_t at = 0;
    for (Run& item : items) {
        item = {at, static_cast<std::int64_t>(random.below(most + 1))};
        at += item.count + 1;
    }
    const heph::Windows packed = packers[which]->pack(items);
    FUZZ_CHECK(sorted_windows(packed) == plain_windows(items, lengths[which]));
    FUZZ_CHECK(packers[which]->count(items) == packed.size());
    const std::vector<Run> again = heph::items_of(packed, [](std::uint32_t) { return true; });
    std::vector<Run> expected;
    for (const Run& item : items) {
        if (item.count > 0) expected.push_back(item);
    }
    FUZZ_CHECK(again.size() == expected.size());
    for (std::size_t i = 0; i < again.size(); ++i) {
        FUZZ_CHECK(again[i].start == expected[i].start && again[i].count == expected[i].count);
    }
}

// A source on the disk, and what stands in it.
struct Source {
    fs::path folder = fs::temp_directory_path() / ("heph-fuzz-pack-" + std::to_string(::getpid()));
    std::vector<Run> documents;  // their positions
    std::shared_ptr<heph::TokenReader> reader;

    explicit Source(fuzz::Random& random) {
        fs::create_directories(folder);
        std::vector<heph::ShardSpec> specs;
        std::int64_t at = 0;
        for (std::size_t shard = 0; shard < 1 + random.below(3); ++shard) {
            std::vector<std::int64_t> lengths(random.below(30));
            for (auto& length : lengths) length = static_cast<std::int64_t>(random.below(random.one_in(10) ? 400 : 40));
            heph::ShardSpec spec;
            spec.prefix = folder / std::to_string(shard);
            spec.code = 8;
            spec.sequences = lengths.size();
            spec.entries = lengths.size() + 1;
            for (const std::int64_t length : lengths) {
                if (length > 1) documents.push_back({at, length - 1});
                at += length;
                spec.tokens += static_cast<std::uint64_t>(length);
            }
            const std::vector<std::int32_t> ids(spec.tokens, 7);
            heph::IndexedWriter writer(spec.prefix, 10, 4096);
            writer.append(ids.data(), ids.size(), lengths.data(), lengths.size(), heph::IndexedWriter::no_end);
            writer.finalize();
            specs.push_back(spec);
        }
        reader = std::make_shared<heph::TokenReader>(specs);
    }
    ~Source() { fs::remove_all(folder); }
};

std::shared_ptr<heph::WindowCounts> counted(fuzz::Random& random, const heph::TokenReader& reader, std::int64_t block,
                                            std::int64_t length) {
    const std::uint64_t blocks = heph::blocks_of(reader.total_tokens(), block);
    auto counts = std::make_shared<heph::WindowCounts>(blocks);
    while (counts->filled() < blocks) {
        const std::uint64_t now = 1 + random.below(blocks - counts->filled());
        const auto part = heph::count_windows(reader, block, length, counts->filled(), now);
        counts->append(part.data(), part.size());
    }
    return counts;
}

std::vector<Run> sample(const heph::PackOrder& order, std::uint64_t number, std::int64_t length) {
    std::vector<heph::Piece> pieces;
    order.pieces(number, pieces);
    std::vector<Run> runs;
    std::int64_t column = 0;
    for (const heph::Piece& piece : pieces) {
        FUZZ_CHECK(piece.column == column && piece.count > 0 && piece.row == 0 && piece.source == 0);
        FUZZ_CHECK(runs.empty() || runs.back().start + runs.back().count < piece.start);
        column += piece.count;
        runs.push_back({piece.start, piece.count});
    }
    FUZZ_CHECK(column > 0 && column <= length);
    return runs;
}

bool same(const std::vector<Run>& a, const std::vector<Run>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const Run& x, const Run& y) { return x.start == y.start && x.count == y.count; });
}

// Which samples read a position, against a look at all of them.
void check_found(fuzz::Random& random, const Source& source, const heph::PackOrder& order, std::uint64_t samples,
                 std::int64_t length) {
    const std::uint64_t total = source.reader->total_tokens(), start = random.below(total);
    const std::uint64_t count = 1 + random.below(60);
    std::vector<std::uint64_t> found, expected;
    order.find(start, count, samples, found);
    for (std::uint64_t k = 0; k < samples; ++k) {
        const std::vector<Run> runs = sample(order, k, length);
        if (std::any_of(runs.begin(), runs.end(), [&](const Run& run) {
                return run.start < static_cast<std::int64_t>(start + count) &&
                       run.start + run.count > static_cast<std::int64_t>(start);
            })) expected.push_back(k);
    }
    std::sort(found.begin(), found.end());
    FUZZ_CHECK(found == expected);
}

// Threads that share an order get what one alone gets.
void check_threads(const heph::PackOrder& order, std::uint64_t samples, std::int64_t length, std::uint64_t seed) {
    std::vector<std::vector<Run>> found[2];
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < 2; ++i) {
        threads.emplace_back([&, i] {
            found[i].resize(samples);
            for (std::uint64_t k = 0; k < samples; ++k) {
                const std::uint64_t number = i == 0 ? k : samples - 1 - k;
                found[i][number] = sample(order, number, length);
                order.place(seed % (2 * samples));
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (std::uint64_t k = 0; k < samples; ++k) {
        FUZZ_CHECK(same(found[0][k], found[1][k]) && same(found[0][k], sample(order, k, length)));
    }
}

std::uint64_t groups_of(const Source& source, std::int64_t block) {
    return heph::EpochGroups::groups_of(heph::blocks_of(source.reader->total_tokens(), block));
}

// Reads on from a place: every position is counted in the epoch of its sample's group.
heph::PackPlace read_on(fuzz::Random& random, const Source& source, std::int64_t block, heph::OrderKey key,
                        const heph::PackPlace& begin, std::map<std::uint64_t, std::vector<int>>& seen) {
    const std::uint64_t groups = groups_of(source, block);
    const std::int64_t lengths[] = {1 + static_cast<std::int64_t>(random.below(7)), 16, 32, 100, 1000};
    const std::int64_t length = lengths[random.below(5)];
    const auto counts = counted(random, *source.reader, block, length);
    const heph::PackOrder order(source.reader, counts, block, key, begin, length);
    const std::uint64_t samples = random.below(random.one_in(3) ? 400 : 9);
    if (samples > 0 && random.one_in(8)) check_threads(order, samples, length, random.next());
    if (random.one_in(2)) sample(order, random.below(3 * samples + 1), length);  // ahead, and then back
    double before = -1;
    for (std::uint64_t k = 0; k < samples; ++k) {
        const heph::PackPlace place = order.place(k);
        FUZZ_CHECK(order.epochs(k) > before);
        before = order.epochs(k);
        std::vector<int>& epoch = seen[place.groups / groups];
        epoch.resize(source.reader->total_tokens());
        const std::vector<Run> runs = sample(order, k, length);
        for (const Run& run : runs) {
            for (std::int64_t i = 0; i < run.count; ++i) ++epoch[static_cast<std::size_t>(run.start + i)];
        }
        if (random.one_in(20)) {  // gone on with at the same length, nothing changes
            const heph::PackOrder later(source.reader, counts, block, key, place, length);
            const std::uint64_t ahead = random.below(50);
            FUZZ_CHECK(same(sample(later, ahead, length), sample(order, k + ahead, length)));
        }
    }
    check_found(random, source, order, samples, length);
    return order.place(samples);
}

void check_order(fuzz::Random& random) {
    const Source source(random);
    if (source.documents.empty()) return;
    const auto block = static_cast<std::int64_t>(1 + random.below(random.one_in(2) ? 50 : 1000));
    const std::uint64_t groups = groups_of(source, block);
    const heph::OrderKey key{random.next(), random.next()};
    std::map<std::uint64_t, std::vector<int>> seen;
    heph::PackPlace place{random.one_in(2) ? 0 : random.next() % (1u << 20), {}};
    const std::uint64_t first = place.groups / groups + (place.groups % groups != 0);
    for (int segment = 0; segment < 12; ++segment) place = read_on(random, source, block, key, place, seen);
    std::vector<int> once(source.reader->total_tokens(), 0);
    for (const Run& document : source.documents) {
        std::fill_n(once.begin() + document.start, document.count, 1);
    }
    for (std::uint64_t epoch = first; epoch < place.groups / groups; ++epoch) FUZZ_CHECK(seen.at(epoch) == once);
    for (const auto& [epoch, times] : seen) {
        for (std::size_t i = 0; i < times.size(); ++i) FUZZ_CHECK(times[i] <= once[i]);
    }
}

void round(fuzz::Random& random) {
    std::vector<std::unique_ptr<heph::Packer>> packers;
    std::vector<std::int64_t> lengths;
    for (int i = 0; i < 8; ++i) check_packing(random, packers, lengths);
    if (random.one_in(4)) check_order(random);
}

}  // namespace

int main(int count, char** arguments) { return fuzz::run(count, arguments, 2000, round); }
