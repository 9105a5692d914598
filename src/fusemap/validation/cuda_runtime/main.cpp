// Reads a plan, runs its launches in order, writes counts (result.json) and tensors (NAME.out) beside it.
// plan: "tensors N", N lines "NAME ELEMENTS FILE" (FILE "-": undefined), "launches N", N lines
// "ENTRY GX GY GZ BX BY BZ COUNT ARGUMENT..." with ENTRY a number and an ARGUMENT "tI" (tensor I) or an int.
#include "runtime.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

extern "C" fusemap::Entry const fusemap_entries[];
extern "C" {
uint64_t fusemap_operations[16];
}

using namespace fusemap;

namespace {
int refuse(const char *why, const std::string &what)
{
    fprintf(stderr, "%s %s\n", why, what.c_str());
    return 2;
}

bool read_tensors(std::istream &plan)
{
    std::string word;
    size_t count = 0;
    plan >> word >> count;
    std::vector<std::string> files(count);
    tensors.resize(count);
    for (size_t i = 0; i < count; ++i) plan >> tensors[i].name >> tensors[i].elements >> files[i];
    if (!plan || !place_tensors()) return false;
    for (size_t i = 0; i < count; ++i) {
        if (files[i] == "-") continue;
        std::ifstream file(files[i], std::ios::binary);
        if (!file.read(tensors[i].base, tensors[i].elements * 4)) return false;
    }
    return true;
}

using Number = unsigned long long;

void write(FILE *out, const char *key, const Direction &d)
{
    fprintf(out, "\"%s\": [%llu, %llu, %llu], ", key, (Number)d.elements, (Number)d.requests, (Number)d.sectors);
}

void write_launch(FILE *out)
{
    fprintf(out, "%s{", current_launch ? ",\n" : "");
    const char *comma = "";
    for (const Tensor &tensor : tensors) {
        fprintf(out, "%s\"%s\": {", comma, tensor.name.c_str());
        write(out, "loads", tensor.loads);
        write(out, "stores", tensor.stores);
        fprintf(out, "\"block_elements\": %llu, \"out_of_bounds\": %llu}", (Number)tensor.block_elements,
                (Number)tensor.out_of_bounds);
        comma = ", ";
    }
    fprintf(out, "}");
}

void write_faults(FILE *out)
{
    const char *comma = "";
    for (const Fault &f : faults) {
        fprintf(out,
                "%s{\"kind\": \"%s\", \"tensor\": \"%s\", \"text\": \"%s\", \"index\": %lld, \"line\": %d, \"site\": %llu, "
                "\"launch\": %d, \"block\": [%u, %u, %u], \"thread\": [%u, %u, %u]}",
                comma, f.kind.c_str(), f.tensor.c_str(), f.text.c_str(), f.index, f.line,
                (Number)f.site, f.launch, f.block.x, f.block.y, f.block.z, f.thread.x, f.thread.y, f.thread.z);
        comma = ",\n";
    }
}

bool run_one(std::istream &plan)
{
    size_t entry = 0, count = 0;
    Index grid, block;
    plan >> entry >> grid.x >> grid.y >> grid.z >> block.x >> block.y >> block.z >> count;
    std::vector<void *> arguments(count);
    for (void *&argument : arguments) {
        std::string word;
        plan >> word;
        argument = word[0] == 't' ? tensors[atoi(word.c_str() + 1)].base : (void *)atoll(word.c_str());
    }
    begin_launch();
    return run_launch(fusemap_entries[entry], arguments.data(), grid, block);
}
} // namespace

int main(int, char **argv)
{
    std::ifstream plan(argv[1]);
    if (!read_tensors(plan)) return refuse("cannot place the tensors of", argv[1]);
    std::string word;
    int launches = 0;
    plan >> word >> launches;
    FILE *out = fopen("result.json", "w");
    if (!out) return refuse("cannot write", "result.json");
    fprintf(out, "{\"launches\": [");
    bool whole = true;
    for (current_launch = 0; whole && current_launch < launches; ++current_launch) {
        whole = run_one(plan);
        write_launch(out);
    }
    fprintf(out, "],\n\"stopped\": %s, \"fault_count\": %llu, \"faults\": [", whole ? "false" : "true",
            (Number)fault_count);
    write_faults(out);
    fprintf(out, "],\n\"operations\": [");
    for (int i = 0; i < 16; ++i) fprintf(out, "%s%llu", i ? ", " : "", (Number)fusemap_operations[i]);
    fprintf(out, "]}\n");
    fclose(out);
    for (const Tensor &tensor : tensors) {
        std::ofstream file(tensor.name + ".out", std::ios::binary);
        file.write(tensor.base, tensor.elements * 4);
    }
    return 0;
}
