// The threads of a block as fibers of one thread of the machine. A thread runs until it waits at a barrier or a
// shuffle; warps run one after another.
#include "runtime.h"

#include <csetjmp>
#include <cstring>
#include <sys/mman.h>
#include <ucontext.h>

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace fusemap {
void barrier(int line);
void warp_barrier(unsigned mask, int line);
int lane();
void exchange(unsigned mask, int line, int source, const void *mine, void *theirs, unsigned bytes);

namespace {
constexpr size_t STACK = 512 << 10;
enum State { READY, AT_BARRIER, AT_WARP, DONE };

struct Thread {
    jmp_buf at;
    ucontext_t start;
    bool started;
    State state;
    int line;
    unsigned mask;
    int turn;                // a lane gives its n-th value in slot n % 2, so that nobody overwrites an unread one
    char given[2][16];
    uint3 index;
};

std::vector<Thread> threads;
std::vector<std::vector<Event>> lists;
char *stacks = nullptr;
int running = -1;            // -1: no thread
jmp_buf scheduler;
Entry entry;
void *const *arguments;

void run_thread()
{
    entry(arguments);
    threads[running].state = DONE;
    _longjmp(scheduler, 1);
}

void wait(State state, int line)
{
    Thread &self = threads[running];
    self.state = state, self.line = line;
    if (_setjmp(self.at) == 0) _longjmp(scheduler, 1);
}

bool resume(int number) // false: the thread stopped the kernel
{
    Thread &thread = threads[number];
    running = number;
    threadIdx = thread.index;
    const int back = _setjmp(scheduler);
    if (back == 0) {
        if (thread.started) _longjmp(thread.at, 1);
        thread.started = true;
        setcontext(&thread.start);
    }
    running = -1;
    return back == 1;
}

void start_threads()
{
    const int count = threads.size();
    for (int i = 0; i < count; ++i) {
        Thread &thread = threads[i];
        thread.started = false, thread.state = READY, thread.turn = 0;
        thread.index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
        lists[i].clear();
        getcontext(&thread.start);
        thread.start.uc_stack.ss_sp = stacks + i * STACK;
        thread.start.uc_stack.ss_size = STACK;
        thread.start.uc_link = nullptr;
        makecontext(&thread.start, run_thread, 0);
    }
}

std::string name(int number)
{
    const uint3 at = threads[number].index;
    return "(" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) + ")";
}

bool deadlock(int waits, const std::string &text)
{
    const uint3 at = threads[waits].index;
    report({"dead-lock", "", text, 0, running_block(), {at.x, at.y, at.z}, threads[waits].line, current_launch});
    return false;
}

// Lets those lanes go on whose whole mask waits at the same line.
bool release_lanes(int first, int count)
{
    bool any = false;
    for (int i = 0; i < count; ++i) {
        const Thread &thread = threads[first + i];
        if (thread.state != AT_WARP) continue;
        const unsigned mask = thread.mask;
        const int line = thread.line;
        bool all = true;
        for (int j = 0; j < count; ++j) {
            const Thread &other = threads[first + j];
            if (mask >> j & 1) all = all && other.state == AT_WARP && other.line == line && other.mask == mask;
        }
        if (!all) continue;
        any = true;
        for (int j = 0; j < count; ++j)
            if (mask >> j & 1) threads[first + j].state = READY;
    }
    return any;
}

// Runs a warp until its lanes wait at the barrier of the block or are done.
bool run_warp(int first, int count)
{
    do {
        for (int i = first; i < first + count; ++i)
            if (threads[i].state == READY && !resume(i)) return false;
    } while (release_lanes(first, count));
    count_requests(&lists[first], count);
    for (int i = first; i < first + count; ++i)
        if (threads[i].state == AT_WARP)
            return deadlock(i, "for lanes of its mask that do not come");
    return true;
}

// True when all threads wait at one barrier, or all are done.
bool together(bool &done)
{
    int waits = -1, left = -1;
    const int count = threads.size();
    for (int i = 0; i < count; ++i) {
        if (threads[i].state == AT_BARRIER && waits < 0) waits = i;
        if (threads[i].state == DONE && left < 0) left = i;
    }
    done = waits < 0;
    if (waits >= 0 && left >= 0) return deadlock(waits, "thread " + name(left) + " ended before");
    for (int i = 0; i < count && waits >= 0; ++i)
        if (threads[i].line != threads[waits].line)
            return deadlock(waits, "thread " + name(i) + " waits at line " + std::to_string(threads[i].line));
    return true;
}

bool run_block()
{
    start_threads();
    begin_block();
    const int count = threads.size();
    for (bool done = false; !done;) {
        for (int first = 0; first < count; first += WARP)
            if (!run_warp(first, count - first < WARP ? count - first : WARP)) return false;
        if (!together(done)) return false;
        for (Thread &thread : threads)
            if (thread.state == AT_BARRIER) thread.state = READY;
    }
    end_block();
    return true;
}
} // namespace

std::vector<Event> &events() { return lists[running]; }
bool in_kernel() { return running >= 0; }
Index running_thread() { return {threadIdx.x, threadIdx.y, threadIdx.z}; }
Index running_block() { return {blockIdx.x, blockIdx.y, blockIdx.z}; }
void stop_kernel() { _longjmp(scheduler, 2); }

int lane() { return running % WARP; }
void barrier(int line) { wait(AT_BARRIER, line); }

void warp_barrier(unsigned mask, int line)
{
    threads[running].mask = mask | 1u << lane();
    wait(AT_WARP, line);
}

void exchange(unsigned mask, int line, int source, const void *mine, void *theirs, unsigned bytes)
{
    Thread &self = threads[running];
    const int turn = self.turn;
    const int other = running / WARP * WARP + source;
    memcpy(self.given[turn], mine, bytes);
    self.turn = 1 - turn;
    warp_barrier(mask, line);
    const bool given = mask >> source & 1 && other < (int)threads.size();
    memcpy(theirs, given ? threads[other].given[turn] : mine, bytes);
}

bool run_launch(Entry kernel, void *const *with, Index grid, Index block)
{
    const size_t count = (size_t)block.x * block.y * block.z;
    stacks = static_cast<char *>(mmap(nullptr, count * STACK, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (stacks == MAP_FAILED) return false;
    threads.resize(count), lists.resize(count);
    entry = kernel, arguments = with;
    blockDim = {block.x, block.y, block.z}, gridDim = {grid.x, grid.y, grid.z};
    bool whole = true;
    for (unsigned z = 0; whole && z < grid.z; ++z)
        for (unsigned y = 0; whole && y < grid.y; ++y)
            for (unsigned x = 0; whole && x < grid.x; ++x) blockIdx = {x, y, z}, whole = run_block();
    munmap(stacks, count * STACK);
    return whole;
}
} // namespace fusemap
