// Random vocabularies and texts through the encoder, from several threads: for builds with sanitizers.
//
//   g++ -std=c++17 -g -O1 -fsanitize=address,undefined -Icsrc/data csrc/fuzz/fuzz_bpe.cpp csrc/data/bpe*.cpp
//       csrc/data/pretokenize.cpp csrc/data/unicode_classes.cpp -pthread -o fuzz_bpe && ./fuzz_bpe 20 1
//   (and -fsanitize=thread)
//
// Arguments: rounds, seed.  Ends with 1 if threads disagree, or if the ids of a text do not spell it.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "bpe.h"

namespace {

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t limit) { return random() % limit; }

// Every byte, and pairs of tokens that were there before: merges that can all happen.
heph::Vocabulary make_vocabulary(Random& random, bool by_id) {
    heph::Vocabulary vocabulary;
    std::vector<std::string> tokens;
    std::vector<std::pair<std::string, std::string>> merges;
    for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
    const std::string common = " etaoin'sr\n12\xC3\xA9\xE6\xBC\xA2";
    for (std::size_t i = 0; i < 400; ++i) {
        const auto pick = [&] {
            if (tokens.size() > 256 && below(random, 2) == 0) return tokens[256 + below(random, tokens.size() - 256)];
            return std::string(1, common[below(random, common.size())]);
        };
        const std::string left = pick();
        const std::string right = pick();
        bool known = left.size() + right.size() > 40;
        for (const std::string& token : tokens) known |= token == left + right;
        if (known) continue;
        merges.emplace_back(left, right);
        tokens.push_back(left + right);
    }
    heph::TokenId next = 0;
    for (const std::string& token : tokens) vocabulary.add_token(next++, token, true);
    if (by_id) {
        vocabulary.merge_by_id();
    } else {
        heph::Rank rank = 0;
        for (const auto& [left, right] : merges) vocabulary.add_merge(left, right, rank++);
    }
    vocabulary.finish();
    return vocabulary;
}

std::string make_text(Random& random) {
    static const std::vector<std::string> parts = {
        "the",      "tea",          " ",          "  ",               "\n",      "\r\n", "'s",   "'S",
        "'\xC5\xBF", "'ll",          "12",         "3",                "!",       "//",   "\xC3\xA9", "\xCC\x81",
        "\xE6\xBC\xA2", "\xF0\x9F\x99\x82", "<|end|>", "<|",               "A",       "AtoN", "\xC2\xA0",
        std::string(1, '\0'),
        // Rarely: not assigned, and not UTF-8.
        "\xCD\xB8", "\xFF", "\xE6"};
    std::string text;
    for (std::size_t count = below(random, 30); count > 0; --count) {
        const std::string& part = parts[below(random, parts.size() - (below(random, 20) != 0 ? 3 : 0))];
        const std::size_t times = below(random, 40) == 0 ? below(random, 400) : 1;
        for (std::size_t i = 0; i < times; ++i) text += part;
    }
    return text;
}

struct Texts {
    std::vector<std::uint8_t> data;  // exactly as long as the texts: a read behind it is seen
    std::vector<std::int64_t> offsets{0};
};

Texts make_texts(Random& random, std::size_t count) {
    Texts texts;
    for (std::size_t i = 0; i < count; ++i) {
        const std::string text = make_text(random);
        texts.data.insert(texts.data.end(), text.begin(), text.end());
        texts.offsets.push_back(static_cast<std::int64_t>(texts.data.size()));
    }
    texts.data.shrink_to_fit();
    return texts;
}

std::vector<heph::TokenId> ids_of(const heph::BpeEncoder& encoder, const Texts& texts, heph::Encoded& encoded) {
    encoded = encoder.encode(texts.data.data(), texts.data.size(), texts.offsets.data(), texts.offsets.size() - 1);
    const std::size_t count = encoded.ids.size();
    heph::TokenId* raw = encoded.ids.release();
    std::vector<heph::TokenId> ids(raw, raw + count);
    std::free(raw);
    return ids;
}

// The texts, less those that were declined, are what their ids spell.
bool spells(const heph::BpeEncoder& encoder, const Texts& texts, const heph::Encoded& encoded,
            const std::vector<heph::TokenId>& ids) {
    std::string found;
    std::string wanted;
    for (const heph::TokenId id : ids) found += encoder.vocabulary().bytes_of(id);
    std::size_t next = 0;
    for (std::size_t i = 0; i + 1 < texts.offsets.size(); ++i) {
        if (next < encoded.declined.size() && encoded.declined[next] == static_cast<std::int64_t>(i)) {
            ++next;
        } else {
            wanted.append(texts.data.begin() + texts.offsets[i], texts.data.begin() + texts.offsets[i + 1]);
        }
    }
    return found == wanted;
}

bool run_round(Random& random, heph::Pattern pattern) {
    heph::BpeOptions options;
    options.pattern = pattern;
    options.whole_words = below(random, 2) == 0;
    options.cache_slots = 1024;  // so that generations change while threads read
    options.long_cache_slots = 256;
    heph::Vocabulary vocabulary = make_vocabulary(random, options.whole_words);
    const auto end = static_cast<heph::TokenId>(vocabulary.size());
    vocabulary.add_token(end, "<|end|>", false);
    heph::AddedTokens added(1);
    added[0].add("<|end|>", end, below(random, 2) == 0);
    const heph::BpeEncoder encoder(std::move(vocabulary), std::move(added), options);

    constexpr std::size_t kThreads = 3;
    const Texts texts = make_texts(random, 300);
    std::vector<heph::TokenId> ids[kThreads];
    heph::Encoded encoded[kThreads];
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < kThreads; ++i) {
        threads.emplace_back([&, i] {
            for (int pass = 0; pass < 3; ++pass) ids[i] = ids_of(encoder, texts, encoded[i]);
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (std::size_t i = 0; i < kThreads; ++i) {
        if (ids[i] != ids[0] || !spells(encoder, texts, encoded[i], ids[i])) return false;
    }
    return true;
}

}  // namespace

int main(int count, char** arguments) {
    const long rounds = count > 1 ? std::atol(arguments[1]) : 20;
    const std::uint64_t seed = count > 2 ? static_cast<std::uint64_t>(std::atoll(arguments[2])) : 1;
    Random random(seed);
    for (long round = 0; round < rounds; ++round) {
        if (!run_round(random, static_cast<heph::Pattern>(round % 8))) {
            std::fprintf(stderr, "round %ld of seed %llu differs\n", round, static_cast<unsigned long long>(seed));
            return 1;
        }
    }
    std::printf("%ld rounds from seed %llu: all the same\n", rounds, static_cast<unsigned long long>(seed));
    return 0;
}
