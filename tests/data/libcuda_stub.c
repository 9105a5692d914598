/* A CUDA driver over host memory, to hold the marshalling of arguments against: the prototypes are cuda.h's. A launch
   adds the grid's and block's x, its first number and the first word of its first tensor into that word. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef void *Handle;
static char context, function, module;
static int current, events;

CUresult cuInit(unsigned flags) { return flags ? 1 : getenv("STUB_NO_DRIVER") ? 100 : 0; }
CUresult cuDeviceGetCount(int *count) { return *count = getenv("STUB_NO_GPU") ? 0 : 1, 0; }
CUresult cuDeviceGet(CUdevice *device, int ordinal) { return *device = 5, ordinal ? 101 : 0; }
CUresult cuDevicePrimaryCtxRetain(Handle *made, CUdevice device) { return *made = &context, device == 5 ? 0 : 101; }
CUresult cuCtxSetCurrent(Handle given) { return current = given == &context, current ? 0 : 201; }
CUresult cuCtxSynchronize(void) { return current ? 0 : 201; }
CUresult cuDeviceGetName(char *name, int length, CUdevice device)
{
    return strncpy(name, "a stub", length), device == 5 ? 0 : 101;
}
CUresult cuDeviceGetPCIBusId(char *name, int length, CUdevice device)
{
    return strncpy(name, "0000:1b:00.0", length), device == 5 ? 0 : 101;
}
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) { return *bytes = (size_t)80 << 30, device == 5 ? 0 : 101; }
CUresult cuDriverGetVersion(int *version) { return *version = 12080, 0; }
CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device)
{
    switch (attribute) {
    case 13: *value = 1980000; break; /* kHz */
    case 16: *value = 132; break;
    case 36: *value = 2619000; break; /* kHz */
    case 38: *value = 50 << 20; break;
    case 75: *value = 9; break;
    case 76: *value = 0; break;
    default: return 1;
    }
    return device == 5 ? 0 : 101;
}
CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes)
{
    if (bytes > (size_t)1 << 40) return 2;
    return *address = (uintptr_t)malloc(bytes), 0;
}
CUresult cuMemFree_v2(CUdeviceptr address) { return free((void *)(uintptr_t)address), 0; }
CUresult cuMemsetD32_v2(CUdeviceptr address, unsigned word, size_t words)
{
    for (size_t i = 0; i < words; ++i) ((unsigned *)(uintptr_t)address)[i] = word;
    return 0;
}
CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes)
{
    return memcpy((void *)(uintptr_t)to, from, bytes), 0;
}
CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes)
{
    return memcpy(to, (void *)(uintptr_t)from, bytes), 0;
}
CUresult cuModuleLoadDataEx(Handle *made, const void *image, unsigned count, int *options, void **values)
{
    if (count != 2 || options[0] != 5 || options[1] != 6) return 1;
    if (!strstr(image, "good")) {
        strncpy(values[0], "line 3: no such opcode", (size_t)values[1]);
        return 218;
    }
    return *made = &module, 0;
}
CUresult cuModuleGetFunction(Handle *made, Handle from, const char *name)
{
    return *made = &function, from != &module ? 400 : strcmp(name, "f") ? 500 : 0;
}
CUresult cuFuncGetAttribute(int *value, int attribute, Handle from)
{
    return *value = 10 * attribute, from == &function ? 0 : 400;
}
CUresult cuLaunchKernel(Handle given, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, Handle stream, void **arguments, void **extra)
{
    if (given != &function || shared || stream || extra || gy != 1 || gz != 1 || by != 1 || bz != 1) return 1;
    CUdeviceptr tensor = *(CUdeviceptr *)arguments[0];
    *(unsigned *)(uintptr_t)tensor += 1000000 * gx + 1000 * bx + *(int *)arguments[1];
    return 0;
}
CUresult cuEventCreate(Handle *made, unsigned flags) { return *made = malloc(1), ++events, flags ? 1 : 0; }
CUresult cuEventRecord(Handle event, Handle stream) { return event && !stream ? 0 : 400; }
CUresult cuEventSynchronize(Handle event) { return event ? 0 : 400; }
CUresult cuEventElapsedTime(float *ms, Handle begin, Handle end) { return *ms = 1.5f, begin != end ? 0 : 400; }
CUresult cuEventDestroy_v2(Handle event) { return free(event), --events, 0; }
int stub_events(void) { return events; }
CUresult cuGetErrorName(CUresult error, const char **name)
{
    *name = error == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : error == 100 ? "CUDA_ERROR_NO_DEVICE"
          : error == 218 ? "CUDA_ERROR_INVALID_PTX" : error == 500 ? "CUDA_ERROR_NOT_FOUND" : 0;
    return *name ? 0 : 1;
}
