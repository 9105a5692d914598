// Tensors between guards, and what the compiler calls at each load and store (-fsanitize=thread).
#include "runtime.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <sys/mman.h>
#include <tuple>
#include <unistd.h>

#define HIDDEN_WEAK __attribute__((weak, visibility("hidden")))
extern "C" {
extern char __start_fusemap_shared[] HIDDEN_WEAK;
extern char __stop_fusemap_shared[] HIDDEN_WEAK;
extern char __executable_start[] HIDDEN_WEAK;
}

namespace fusemap {
std::vector<Tensor> tensors;
std::vector<Fault> faults;
uint64_t fault_count = 0;
int current_launch = 0;

namespace {
constexpr size_t NEAR_GUARD = 1 << 20; // bytes beside a tensor where a faulty access is survived
char *arena = nullptr;
size_t arena_bytes = 0;
int slot_bits = 0; // a tensor lies in the middle of a slot; the rest of it is guard

size_t up(size_t bytes) { return (bytes + 65535) / 65536 * 65536; }

bool reserve(int bits)
{
    const size_t bytes = tensors.size() << bits;
    void *at = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return false;
    arena = static_cast<char *>(at), arena_bytes = bytes, slot_bits = bits;
    return true;
}

void faulty(const char *kind, const Tensor &tensor, const char *address, const void *at)
{
    const uintptr_t site = (uintptr_t)at - (uintptr_t)__executable_start;
    const ptrdiff_t away = address - tensor.base;
    const long long index = away >= 0 ? away / 4 : -((-away + 3) / 4);
    report({kind, tensor.name, "", index, running_block(), running_thread(), 0, current_launch, site});
}

void out_of_bounds(Tensor &tensor, const char *address, unsigned bytes, const void *site)
{
    faulty("out-of-bounds", tensor, address, site);
    for (unsigned b = 0; b < bytes; b += 4) {
        const ptrdiff_t away = address + b - tensor.base;
        tensor.out_of_bounds += away < 0 || away >= (ptrdiff_t)(tensor.elements * 4);
    }
    const ptrdiff_t away = address - tensor.base, last = up(tensor.elements * 4 + NEAR_GUARD) - 64;
    if (away < -(ptrdiff_t)NEAR_GUARD || away > last) stop_kernel();
}

void count(Tensor &tensor, size_t offset, unsigned bytes, bool write, const void *site)
{
    const size_t first = offset / 4, last = (offset + bytes - 1) / 4;
    Direction &to = write ? tensor.stores : tensor.loads;
    to.elements += last - first + 1;
    if (!write)
        for (size_t i = first; i <= last; ++i)
            if (!tensor.seen[i]) tensor.seen[i] = true, tensor.touched.push_back(i);
    const uint16_t number = &tensor - tensors.data();
    for (size_t s = offset / 32; s <= (offset + bytes - 1) / 32; ++s) events().push_back({site, number, write, s});
}

void access(const void *where, unsigned bytes, bool write, const void *site)
{
    if (!in_kernel()) return;
    const char *address = static_cast<const char *>(where);
    if (address < arena || address >= arena + arena_bytes) return;
    Tensor &tensor = tensors[(size_t)(address - arena) >> slot_bits];
    if (bytes <= 16 && (address - tensor.base) % bytes) faulty("misaligned", tensor, address, site);
    if (address < tensor.base || address + bytes > tensor.base + tensor.elements * 4)
        out_of_bounds(tensor, address, bytes, site);
    else
        count(tensor, address - tensor.base, bytes, write, site);
}
} // namespace

bool place_tensors()
{
    if (!reserve(34) && !reserve(32) && !reserve(30)) return false;
    for (size_t i = 0; i < tensors.size(); ++i) {
        Tensor &tensor = tensors[i];
        tensor.base = arena + (i << slot_bits) + (size_t(1) << (slot_bits - 1));
        const size_t bytes = up(tensor.elements * 4 + NEAR_GUARD);
        if (bytes >= size_t(1) << (slot_bits - 1)) return false;
        if (mprotect(tensor.base - NEAR_GUARD, NEAR_GUARD + bytes, PROT_READ | PROT_WRITE) != 0) return false;
        memset(tensor.base, 0xff, tensor.elements * 4); // NaN: what is read undefined shows in the result
        tensor.seen.assign(tensor.elements, false);
    }
    return true;
}

void begin_launch()
{
    for (Tensor &tensor : tensors) {
        tensor.loads = tensor.stores = {};
        tensor.block_elements = tensor.out_of_bounds = 0;
    }
}

void begin_block()
{
    if (__start_fusemap_shared) memset(__start_fusemap_shared, 0xff, __stop_fusemap_shared - __start_fusemap_shared);
}

void end_block()
{
    for (Tensor &tensor : tensors) {
        for (size_t i : tensor.touched) tensor.seen[i] = false;
        tensor.block_elements += tensor.touched.size();
        tensor.touched.clear();
    }
}

// The n-th access of each lane at one place of the code is one request of the warp.
void count_requests(std::vector<Event> *lanes, int lane_count)
{
    using Key = std::tuple<const void *, uint16_t, bool>;
    std::map<Key, std::vector<std::vector<uint64_t>>> requests;
    for (int lane = 0; lane < lane_count; ++lane) {
        std::map<Key, size_t> done;
        for (const Event &event : lanes[lane]) {
            const Key key{event.site, event.tensor, event.write};
            auto &list = requests[key];
            const size_t n = done[key]++;
            if (n == list.size()) list.emplace_back();
            list[n].push_back(event.sector);
        }
        lanes[lane].clear();
    }
    for (auto &[key, list] : requests) {
        Tensor &tensor = tensors[std::get<1>(key)];
        Direction &to = std::get<2>(key) ? tensor.stores : tensor.loads;
        to.requests += list.size();
        for (auto &sectors : list) {
            std::sort(sectors.begin(), sectors.end());
            to.sectors += std::unique(sectors.begin(), sectors.end()) - sectors.begin();
        }
    }
}

void report(Fault fault)
{
    if (fault_count++ < FAULTS_KEPT) faults.push_back(fault);
}
} // namespace fusemap

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void **, void *) {}
void __tsan_vptr_read(void **) {}
#define HOOK(name, bytes, write)                                                                                   \
    void name(void *address) { fusemap::access(address, bytes, write, __builtin_return_address(0)); }
#define HOOKS(bytes)                                                                                               \
    HOOK(__tsan_read##bytes, bytes, false)                                                                         \
    HOOK(__tsan_write##bytes, bytes, true)                                                                         \
    HOOK(__tsan_unaligned_read##bytes, bytes, false)                                                               \
    HOOK(__tsan_unaligned_write##bytes, bytes, true)                                                               \
    HOOK(__tsan_volatile_read##bytes, bytes, false)                                                                \
    HOOK(__tsan_volatile_write##bytes, bytes, true)                                                                \
    void __tsan_read_write##bytes(void *address)                                                                   \
    {                                                                                                              \
        fusemap::access(address, bytes, false, __builtin_return_address(0));                                       \
        fusemap::access(address, bytes, true, __builtin_return_address(0));                                        \
    }
void __tsan_read_range(void *a, unsigned long n) { fusemap::access(a, n, false, __builtin_return_address(0)); }
void __tsan_write_range(void *a, unsigned long n) { fusemap::access(a, n, true, __builtin_return_address(0)); }
void *__tsan_memcpy(void *to, const void *from, unsigned long n)
{
    fusemap::access(from, n, false, __builtin_return_address(0));
    fusemap::access(to, n, true, __builtin_return_address(0));
    return memmove(to, from, n);
}
void *__tsan_memmove(void *to, const void *from, unsigned long n) { return __tsan_memcpy(to, from, n); }
void *__tsan_memset(void *to, int value, unsigned long n)
{
    fusemap::access(to, n, true, __builtin_return_address(0));
    return memset(to, value, n);
}
HOOKS(1) HOOKS(2) HOOKS(4) HOOKS(8) HOOKS(16)
}
