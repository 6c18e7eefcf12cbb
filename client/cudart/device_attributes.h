// Device attributes as they hold for a remote device. Most are the device's own. Those that speak
// of the device and this host's memory together, or of interfaces that Farlane does not have yet,
// are 0, so that programs which ask before they use something take their other way.
#pragma once

#include <cuda.h>

namespace farlane {

CUresult device_attribute(int device, CUdevice_attribute attribute, int* value);

}  // namespace farlane
