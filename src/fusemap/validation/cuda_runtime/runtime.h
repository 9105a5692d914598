// What the parts of the executor share: the tensors (memory.cpp), the threads of a block (block.cpp), the faults.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fusemap {
constexpr int WARP = 32;

struct Index { unsigned x, y, z; };

struct Direction {            // loads or stores of one tensor in one launch
    uint64_t elements = 0;    // 4-byte elements
    uint64_t requests = 0;    // instructions of a warp
    uint64_t sectors = 0;     // distinct 32-byte sectors per request
};

struct Tensor {
    std::string name;
    size_t elements = 0;
    char *base = nullptr;     // row-major fp32
    Direction loads, stores;
    uint64_t block_elements = 0;           // sum over blocks of distinct elements loaded
    uint64_t out_of_bounds = 0;            // elements beside the tensor
    std::vector<bool> seen;                // was the element loaded in this block
    std::vector<size_t> touched;           // those that were
};

struct Event {                // an access of one thread to a tensor
    const void *site;
    uint16_t tensor;
    bool write;
    uint64_t sector;
};

struct Fault {
    std::string kind, tensor, text;
    long long index;          // element of the tensor, row-major
    Index block, thread;
    int line;                 // of the source, 0: not known
    int launch;
    uintptr_t site = 0;       // of the code, behind the access; 0: not known
};

extern std::vector<Tensor> tensors;
extern std::vector<Fault> faults;
extern uint64_t fault_count;
extern int current_launch;
constexpr size_t FAULTS_KEPT = 64;

using Entry = void (*)(void *const *arguments);

// memory.cpp
bool place_tensors();                        // false: no room for the tensors and what guards them
void begin_launch();
void begin_block();
void end_block();
void count_requests(std::vector<Event> *lanes, int count); // empties them
void report(Fault fault);

// block.cpp
std::vector<Event> &events();                // of the running thread; call inside a kernel only
bool in_kernel();
Index running_thread();
Index running_block();
[[noreturn]] void stop_kernel();             // ends the launch from inside a thread
bool run_launch(Entry entry, void *const *arguments, Index grid, Index block); // false: stopped by a fault
} // namespace fusemap
