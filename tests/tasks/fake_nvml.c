/* A libnvidia-ml.so.1 for tests: GPUs whose readings and errors stand in the file that FAKE_NVML names,
   one `key value` per line, read again at every call. `error.FUNCTION N` makes a function return N; `lost 1`
   makes every reading return NVML_ERROR_GPU_IS_LOST; `utilisation.2` is that of the second of `gpus`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned int uint;
typedef unsigned long long ull;

static double value(const char *key, double otherwise) {
    char name[96];
    double found = otherwise, read;
    FILE *file = fopen(getenv("FAKE_NVML") ? getenv("FAKE_NVML") : "", "r");
    if (!file) return otherwise;
    while (fscanf(file, "%95s %lf", name, &read) == 2)
        if (!strcmp(name, key)) found = read;
    fclose(file);
    return found;
}

static int result(const char *function) {
    char key[128];
    snprintf(key, sizeof key, "error.%s", function);
    int told = (int)value(key, 0);
    return told ? told : strncmp(function, "nvmlDevice", 10) ? 0 : value("lost", 0) ? 15 : 0;
}
#define CHECK do { int told = result(__func__); if (told) return told; } while (0)

int nvmlInitWithFlags(uint flags) { CHECK; return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) {
    switch (code) {
        case 3: return "Not Supported";
        case 4: return "Insufficient Permissions";
        case 9: return "Driver Not Loaded";
        case 10: return "Timeout";
        case 15: return "GPU is lost";
        case 16: return "GPU requires reset";
        case 21: return "No data";
        default: return "Unknown Error";
    }
}
int nvmlDeviceGetCount_v2(uint *count) { CHECK; *count = (uint)value("gpus", 1); return 0; }
int nvmlDeviceGetHandleByIndex_v2(uint index, void **device) { CHECK; *device = (void *)(size_t)(index + 1); return 0; }
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    CHECK;
    int number = 0;
    if (sscanf(uuid, "GPU-fake-%d-", &number) != 1) return 6;
    *device = (void *)(size_t)number;
    return 0;
}
int nvmlDeviceGetUUID(void *device, char *text, uint size) {
    CHECK; snprintf(text, size, "GPU-fake-%d-%d", (int)(size_t)device, (int)value("id", 0)); return 0;
}
int nvmlDeviceGetName(void *device, char *text, uint size) { CHECK; snprintf(text, size, "Fake T4"); return 0; }
int nvmlDeviceGetMigMode(void *device, uint *now, uint *later) {
    CHECK; *now = *later = (uint)value("mig", 0); return 0;
}
int nvmlDeviceGetMemoryInfo(void *device, ull *memory) {
    CHECK;
    memory[0] = (ull)value("memory", 16e9); memory[2] = (ull)value("used", 4e9); memory[1] = memory[0] - memory[2];
    return 0;
}
int nvmlDeviceGetUtilizationRates(void *device, uint *rates) {
    CHECK;
    char own[32];
    snprintf(own, sizeof own, "utilisation.%d", (int)(size_t)device);
    rates[0] = (uint)value(own, value("utilisation", 90)); rates[1] = 40; return 0;
}
int nvmlDeviceGetPowerUsage(void *device, uint *mw) { CHECK; *mw = (uint)value("power_mw", 60000); return 0; }
int nvmlDeviceGetTotalEnergyConsumption(void *device, ull *mj) { CHECK; *mj = (ull)value("energy_mj", 1e9); return 0; }
int nvmlDeviceGetCurrentClocksEventReasons(void *device, ull *bits) { CHECK; *bits = (ull)value("reasons", 0); return 0; }
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, uint *count, char *infos) {
    CHECK;
    uint pid = (uint)value("pid", 0);
    if (!pid) { *count = 0; return 0; }
    if (!infos) { *count = 1; return 7; }
    *count = 1; memset(infos, 0, 24);
    memcpy(infos, &pid, 4);
    ull used = (ull)value("pid_used", 1e9); memcpy(infos + 8, &used, 8);
    return 0;
}
int nvmlDeviceGetFieldValues(void *device, int count, char *values) {
    CHECK;
    /* fieldId, scopeId, timestamp, latency, valueType, nvmlReturn, value: 4 4 8 8 4 4 8 bytes */
    int code = value("recovery", -1) < 0 ? 3 : 0;
    uint action = (uint)value("recovery", 0);
    memcpy(values + 28, &code, 4); memcpy(values + 32, &action, 4);
    return 0;
}
int nvmlGpmQueryDeviceSupport(void *device, uint *support) { CHECK; support[1] = value("sm", -1) >= 0; return 0; }
int nvmlGpmSampleAlloc(void **sample) { *sample = malloc(8); return 0; }
int nvmlGpmSampleFree(void *sample) { free(sample); return 0; }
int nvmlGpmSampleGet(void *device, void *sample) { CHECK; return 0; }
int nvmlGpmMetricsGet(char *asked) {
    /* version, count, two pointers, then metrics of id, result, value and three pointers: 8 + 16 + n * 40 bytes */
    double sm = value("sm", 0), dram = value("dram", 0);
    memcpy(asked + 24 + 8, &sm, 8); memcpy(asked + 24 + 40 + 8, &dram, 8);
    return 0;
}
