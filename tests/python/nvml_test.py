"""What monitoring tools see of a remote device: pynvml, unmodified, under `farlane run`.

    nvml_test.py with|without      whether the server has an NVML (server/fake_nvml.c)
"""
import ctypes
import os
import signal
import sys
import threading
import unittest

import pynvml as nvml

WITH_NVML = sys.argv.pop(1) == "with"
UUID = "GPU-fa71a2e0-50f7-4de1-9ce0-000000000001"  # the software device's


class Driver:
    """The CUDA driver's word for the same device."""

    def __init__(self):
        self.library = ctypes.CDLL("libcuda.so.1")
        self.library.cuInit(0)

    def uuid(self):
        raw = (ctypes.c_ubyte * 16)()
        assert self.library.cuDeviceGetUuid_v2(raw, 0) == 0
        text = bytes(raw).hex()
        return "GPU-" + "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def text(self, function):
        buffer = ctypes.create_string_buffer(256)
        assert getattr(self.library, function)(buffer, 256, 0) == 0
        return buffer.value.decode()

    def total_bytes(self):
        size = ctypes.c_size_t()
        assert self.library.cuDeviceTotalMem_v2(ctypes.byref(size), 0) == 0
        return size.value


def in_child(function):
    """The function's status in a forked child."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if function() else 1)
        except BaseException:  # whatever it is, the parent is told
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Nvml(unittest.TestCase):
    def setUp(self):
        nvml.nvmlInit()
        self.addCleanup(nvml.nvmlShutdown)
        self.device = nvml.nvmlDeviceGetHandleByIndex(0)

    def assert_unsupported(self, function, *arguments):
        with self.assertRaises(nvml.NVMLError_NotSupported):
            function(*arguments)

    def test_devices_and_their_names(self):
        self.assertEqual(nvml.nvmlDeviceGetCount(), 1)
        self.assertEqual(nvml.nvmlDeviceGetUUID(self.device), UUID)
        self.assertEqual(nvml.nvmlDeviceGetIndex(self.device), 0)
        bus_id = nvml.nvmlDeviceGetPciInfo(self.device).busId
        self.assertEqual(bus_id.lower(), "00000000:fa:00.0")
        for handle in (nvml.nvmlDeviceGetHandleByUUID(UUID),
                       nvml.nvmlDeviceGetHandleByPciBusId(bus_id),
                       nvml.nvmlDeviceGetHandleByPciBusId("0000:FA:00.0")):
            self.assertEqual(nvml.nvmlDeviceGetIndex(handle), 0)
        for search, wrong in ((nvml.nvmlDeviceGetHandleByUUID, "GPU-nobody"),
                              (nvml.nvmlDeviceGetHandleByPciBusId, "0000:01:00.0")):
            with self.assertRaises(nvml.NVMLError_NotFound):
                search(wrong)
        with self.assertRaises(nvml.NVMLError_InvalidArgument):
            nvml.nvmlDeviceGetHandleByIndex(1)

    def test_versions(self):
        self.assertEqual(nvml.nvmlSystemGetCudaDriverVersion(), 13000)
        driver = nvml.nvmlSystemGetDriverVersion()
        self.assertEqual(driver == "599.42", WITH_NVML)
        self.assertTrue(driver == "599.42" or driver.startswith("farlane "), driver)
        self.assertTrue(nvml.nvmlSystemGetNVMLVersion().startswith("13."))

    def test_live_values(self):
        if not WITH_NVML:
            self.assert_unsupported(nvml.nvmlDeviceGetTemperature, self.device,
                                    nvml.NVML_TEMPERATURE_GPU)
            for function in (nvml.nvmlDeviceGetPowerUsage, nvml.nvmlDeviceGetUtilizationRates,
                             nvml.nvmlDeviceGetMigMode, nvml.nvmlDeviceGetSerial,
                             nvml.nvmlDeviceGetFanSpeed):
                self.assert_unsupported(function, self.device)
            return
        self.assertEqual(
            nvml.nvmlDeviceGetTemperature(self.device, nvml.NVML_TEMPERATURE_GPU), 41)
        self.assertEqual(nvml.nvmlDeviceGetPowerUsage(self.device), 123456)
        rates = nvml.nvmlDeviceGetUtilizationRates(self.device)
        self.assertEqual((rates.gpu, rates.memory), (87, 12))
        self.assertEqual(nvml.nvmlDeviceGetClockInfo(self.device, nvml.NVML_CLOCK_MEM),
                         1000 + nvml.NVML_CLOCK_MEM)
        self.assertEqual(nvml.nvmlDeviceGetMigMode(self.device), [0, 1])
        self.assertEqual(nvml.nvmlDeviceGetSerial(self.device), "1324021012345")
        handle = nvml.nvmlDeviceGetHandleBySerial("1324021012345")
        self.assertEqual(nvml.nvmlDeviceGetUUID(handle), UUID)
        self.assertEqual(nvml.nvmlDeviceGetSupportedMemoryClocks(self.device), [2619, 1593, 405])
        fields = nvml.nvmlDeviceGetFieldValues(self.device, [7, 200])
        self.assertEqual([field.value.uiVal for field in fields], [8, 201])
        self.assertEqual(nvml.nvmlDeviceGetPciInfo(self.device).pciDeviceId, 0x233010de)

    def test_memory(self):
        memory = nvml.nvmlDeviceGetMemoryInfo(self.device)
        second = nvml.nvmlDeviceGetMemoryInfo(self.device, version=nvml.nvmlMemory_v2)
        if WITH_NVML:
            self.assertEqual((memory.total, memory.free, memory.used), (1000, 600, 400))
            self.assertEqual((second.reserved, second.used), (50, 350))
            return
        self.assertEqual(memory.used + memory.free, memory.total)
        self.assertGreater(memory.free, 0)
        self.assertEqual(second.total, memory.total)

    def test_what_is_not_there(self):
        with self.assertRaises(nvml.NVMLError_NoPermission):
            nvml.nvmlDeviceSetPowerManagementLimit(self.device, 100000)
        self.assert_unsupported(nvml.nvmlEventSetCreate)
        if WITH_NVML:  # the server's NVML is older than the function
            with self.assertRaises(nvml.NVMLError_FunctionNotFound):
                nvml.nvmlDeviceGetBrand(self.device)

    def test_an_nvml_that_falls_over(self):
        if WITH_NVML:
            with self.assertRaises(nvml.NVMLError_GpuIsLost):
                nvml.nvmlDeviceGetBoardId(self.device)
            self.assertEqual(nvml.nvmlDeviceGetPowerUsage(self.device), 123456)

    def test_before_and_after(self):
        nvml.nvmlShutdown()
        self.addCleanup(nvml.nvmlInit)
        with self.assertRaises(nvml.NVMLError_Uninitialized):
            nvml.nvmlDeviceGetCount()

    def test_a_forked_child_asks_for_itself(self):
        def child():
            nvml.nvmlInit()
            return (nvml.nvmlDeviceGetCount() == 1 and
                    nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetHandleByIndex(0)) == UUID and
                    (not WITH_NVML or nvml.nvmlDeviceGetPowerUsage(self.device) == 123456))

        self.assertEqual(in_child(child), 0)
        if WITH_NVML:  # and has not disturbed the parent
            self.assertEqual(nvml.nvmlDeviceGetPowerUsage(self.device), 123456)

    # Whatever they were in when it was forked, it never gets what they hold.
    def test_a_child_does_not_wait_for_the_parents_threads(self):
        stop = threading.Event()

        def poll():
            while not stop.is_set():
                nvml.nvmlDeviceGetMemoryInfo(self.device)

        def ask():
            signal.alarm(30)  # ends a child that hangs
            return nvml.nvmlDeviceGetMemoryInfo(self.device).total > 0

        threads = [threading.Thread(target=poll) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                self.assertEqual(in_child(ask), 0)
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    # Last, by name: from here on the process has a session.
    def test_zz_nvml_and_cuda_agree(self):
        # Nothing so far has started CUDA: a child still may.
        self.assertEqual(in_child(lambda: ctypes.CDLL("libcuda.so.1").cuInit(0) == 0), 0)
        self.assertEqual(nvml.nvmlDeviceGetComputeRunningProcesses(self.device), [])
        driver = Driver()
        self.assertEqual(nvml.nvmlDeviceGetUUID(self.device), driver.uuid())
        self.assertEqual(nvml.nvmlDeviceGetName(self.device), driver.text("cuDeviceGetName"))
        self.assertIn(driver.text("cuDeviceGetPCIBusId").lower(),
                      nvml.nvmlDeviceGetPciInfo(self.device).busId.lower())
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(self.device)
        self.assertEqual([process.pid for process in processes], [os.getpid()])
        if not WITH_NVML:
            self.assertEqual(nvml.nvmlDeviceGetMemoryInfo(self.device).total, driver.total_bytes())


if __name__ == "__main__":
    unittest.main(verbosity=2)
