// A libnvidia-ml.so.1 for tests: knows the software device and says made-up numbers of it, so that
// what a client gets can be told from everything else.
#include <nvml.h>
#include <stdlib.h>
#include <string.h>

static int the_device;
#define DEVICE ((nvmlDevice_t)&the_device)

static nvmlReturn_t text(char* to, unsigned bytes, const char* from) {
  if (to == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  if (strlen(from) + 1 > bytes) return NVML_ERROR_INSUFFICIENT_SIZE;
  strcpy(to, from);
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlInit_v2(void) {
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char* uuid, nvmlDevice_t* device) {
  if (strcmp(uuid, "GPU-fa71a2e0-50f7-4de1-9ce0-000000000001") != 0) return NVML_ERROR_NOT_FOUND;
  *device = DEVICE;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetDriverVersion(char* version, unsigned int length) {
  return text(version, length, "599.42");
}

nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char* serial, unsigned int length) {
  return device == DEVICE ? text(serial, length, "1324021012345") : NVML_ERROR_INVALID_ARGUMENT;
}

// One number in, one out.
nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor,
                                      unsigned int* temperature) {
  if (device != DEVICE || sensor != NVML_TEMPERATURE_GPU || temperature == NULL) {
    return NVML_ERROR_INVALID_ARGUMENT;
  }
  *temperature = 41;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int* milliwatts) {
  if (device != DEVICE || milliwatts == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  *milliwatts = 123456;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int* mhz) {
  if (device != DEVICE || mhz == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  *mhz = 1000 + (unsigned)type;
  return NVML_SUCCESS;
}

// A structure.
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t* utilization) {
  if (device != DEVICE || utilization == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  utilization->gpu = 87;
  utilization->memory = 12;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
  if (device != DEVICE || memory == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  memory->total = 1000;
  memory->free = 600;
  memory->used = 400;
  return NVML_SUCCESS;
}

// A structure that tells its size.
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t* memory) {
  if (device != DEVICE || memory == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  if (memory->version != nvmlMemory_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  memory->total = 1000;
  memory->reserved = 50;
  memory->free = 600;
  memory->used = 350;
  return NVML_SUCCESS;
}

// Two results.
nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int* current,
                                  unsigned int* pending) {
  if (device != DEVICE || current == NULL || pending == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  *current = NVML_DEVICE_MIG_DISABLE;
  *pending = NVML_DEVICE_MIG_ENABLE;
  return NVML_SUCCESS;
}

// A list whose length is asked for first.
nvmlReturn_t nvmlDeviceGetSupportedMemoryClocks(nvmlDevice_t device, unsigned int* count,
                                                unsigned int* clocks) {
  static const unsigned known[] = {2619, 1593, 405};
  if (device != DEVICE || count == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  const unsigned room = *count;
  *count = sizeof known / sizeof *known;
  if (room < *count || clocks == NULL) return NVML_ERROR_INSUFFICIENT_SIZE;
  memcpy(clocks, known, sizeof known);
  return NVML_SUCCESS;
}

// A list that goes both ways.
nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t* values) {
  if (device != DEVICE || values == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  for (int i = 0; i < count; ++i) {
    values[i].nvmlReturn = NVML_SUCCESS;
    values[i].valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
    values[i].value.uiVal = values[i].fieldId + 1;
  }
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  if (device != DEVICE || pci == NULL) return NVML_ERROR_INVALID_ARGUMENT;
  memset(pci, 0, sizeof *pci);
  pci->pciDeviceId = 0x233010de;
  pci->pciSubSystemId = 0x16c110de;
  return NVML_SUCCESS;
}

// A library that falls over.
nvmlReturn_t nvmlDeviceGetBoardId(nvmlDevice_t device, unsigned int* id) {
  (void)device;
  (void)id;
  abort();
}
