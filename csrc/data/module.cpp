// The Python face of csrc/data: `megatron_heph._native`.
#include "bind.h"

PYBIND11_MODULE(_native, module) {
    module.doc() = "The parts of the data path that are worth C++: no torch, no CUDA.";
    heph::bind::bind_writer(module);
    heph::bind::bind_jsonl(module);
    heph::bind::bind_bpe(module);
    heph::bind::bind_order(module);  // SourceOrder, of which other orders are made
    heph::bind::bind_reader(module);
    heph::bind::bind_pack(module);  // after SourceOrder and TokenReader, which it needs
    heph::bind::bind_megatron_order(module);
}
