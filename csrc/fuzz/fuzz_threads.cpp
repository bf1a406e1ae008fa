// Threads that share a writer, a block and nothing else: for -fsanitize=thread.  A call that meets another one
// in the writer is refused; what was accepted is what the files hold.
#include <atomic>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>

#include <unistd.h>

#include "../data/indexed_writer.h"
#include "../data/jsonl.h"
#include "fuzz.h"

namespace {

void round(fuzz::Random& random) {
    const std::string prefix =
        (std::filesystem::temp_directory_path() / ("heph-threads-" + std::to_string(::getpid()))).string();
    const std::string block = "{\"text\":\"" + std::string(random.below(2000), 'x') + "\",\"source\":\"s\"}\n{bad\n";
    std::atomic<std::uint64_t> accepted{0};
    heph::IndexedWriter writer(prefix, 10, 64);
    const auto work = [&](std::uint64_t seed) {
        fuzz::Random own(seed);
        for (int i = 0; i < 50; ++i) {
            const std::vector<std::int32_t> ids(own.below(200), 1);
            const auto length = static_cast<std::int64_t>(ids.size());
            try {
                writer.append(ids.data(), ids.size(), &length, 1, heph::IndexedWriter::no_end);
                accepted += ids.size();
            } catch (const std::runtime_error&) {  // "at work"
            }
            const heph::JsonLines lines = heph::read_json_lines(block.data(), block.size(), 0, true, "text");
            FUZZ_CHECK(lines.positions.size() == 1 && lines.bad.size() == 1);
        }
    };
    std::thread first(work, random.next()), second(work, random.next());
    first.join();
    second.join();
    FUZZ_CHECK(writer.tokens() == accepted.load());
    writer.finalize();
    FUZZ_CHECK(std::filesystem::file_size(prefix + ".bin") == 2 * accepted.load());
    std::filesystem::remove(prefix + ".bin");
    std::filesystem::remove(prefix + ".idx");
}

}  // namespace

int main(int count, char** arguments) { return fuzz::run(count, arguments, 50, round); }
