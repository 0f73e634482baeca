"""What the driver of a GPU charges for memory: the costs that the policy of the device pool rests on.

    ./dev bench device_memory        or: python3 bench/bench_device_memory.py

Median times in microseconds of cuMemAlloc and cuMemFree, of the virtual memory calls (create, map, set access, unmap,
release) for several sizes of chunk, of events, and of a small fill. JSON on standard output, a table on standard error. Needs
an NVIDIA driver and nothing else.
"""
import ctypes
import json
import statistics
import sys
import time

MIB = 1 << 20


class Location(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("id", ctypes.c_int)]


class AllocationProperties(ctypes.Structure):
    _fields_ = [("type", ctypes.c_int), ("handle_types", ctypes.c_int), ("location", Location),
                ("windows", ctypes.c_void_p), ("flags", ctypes.c_ubyte * 8)]


class Access(ctypes.Structure):
    _fields_ = [("location", Location), ("flags", ctypes.c_int)]


class Driver:
    """libcuda's functions by name; each call that fails raises."""

    def __init__(self):
        self.library = ctypes.CDLL("libcuda.so.1")
        self.cuInit(0)
        self.context = ctypes.c_void_p()
        self.cuDevicePrimaryCtxRetain(ctypes.byref(self.context), 0)
        self.cuCtxSetCurrent(self.context)

    def __getattr__(self, name):
        function = self.library[name]

        def call(*arguments):
            status = function(*arguments)
            if status != 0:
                raise RuntimeError(f"{name} failed with {status}")

        setattr(self, name, call)
        return call


def size(value):
    return ctypes.c_size_t(value)


class Clock:
    def __init__(self):
        self.times = {}

    def __call__(self, name, call, *arguments):
        start = time.perf_counter()
        call(*arguments)
        self.times.setdefault(name, []).append(time.perf_counter() - start)

    def medians(self):
        return {name: round(1e6 * statistics.median(times), 2) for name, times in self.times.items()}


def plain(cuda, total, repetitions):
    clock, pointer = Clock(), ctypes.c_uint64()
    for _ in range(repetitions):
        clock("allocate", cuda.cuMemAlloc_v2, ctypes.byref(pointer), size(total))
        clock("free", cuda.cuMemFree_v2, pointer)
    return clock.medians()


def ordered(cuda, total, repetitions):
    """The driver's own stream-ordered pool, empty at each allocation and after a first one."""
    clock, pointer, stream, pool = Clock(), ctypes.c_uint64(), ctypes.c_void_p(), ctypes.c_void_p()
    cuda.cuStreamCreate(ctypes.byref(stream), 1)
    cuda.cuDeviceGetDefaultMemPool(ctypes.byref(pool), 0)
    keep = ctypes.c_uint64(2**64 - 1)
    cuda.cuMemPoolSetAttribute(pool, 4, ctypes.byref(keep))
    for _ in range(repetitions):
        cuda.cuMemPoolTrimTo(pool, size(0))
        for name in ("first", "again"):
            clock(f"allocate_{name}", cuda.cuMemAllocAsync, ctypes.byref(pointer), size(total), stream)
            clock(f"free_{name}", cuda.cuMemFreeAsync, pointer, stream)
        cuda.cuStreamSynchronize(stream)
    cuda.cuMemPoolTrimTo(pool, size(0))
    return clock.medians()


def virtual(cuda, total, chunk, repetitions):
    """`total` bytes put together from chunks; times are for all of them."""
    here = Location(1, 0)
    properties, access = AllocationProperties(1, 0, here), Access(here, 3)
    count = total // chunk
    handles = (ctypes.c_uint64 * count)()
    base, clock = ctypes.c_uint64(), Clock()

    def create():
        for i in range(count):
            cuda.cuMemCreate(ctypes.byref(handles, 8 * i), size(chunk), ctypes.byref(properties),
                             ctypes.c_ulonglong(0))

    def map_all():
        for i in range(count):
            cuda.cuMemMap(ctypes.c_uint64(base.value + i * chunk), size(chunk), size(0), ctypes.c_uint64(handles[i]),
                          ctypes.c_ulonglong(0))

    def unmap_each():
        for i in range(count):
            cuda.cuMemUnmap(ctypes.c_uint64(base.value + i * chunk), size(chunk))

    def release():
        for i in range(count):
            cuda.cuMemRelease(ctypes.c_uint64(handles[i]))

    for _ in range(repetitions):
        clock("reserve", cuda.cuMemAddressReserve, ctypes.byref(base), size(total), size(0), ctypes.c_uint64(0),
              ctypes.c_ulonglong(0))
        clock("create", create)
        clock("map", map_all)
        clock("access", cuda.cuMemSetAccess, base, size(total), ctypes.byref(access), size(1))
        clock("unmap_each", unmap_each)
        clock("map_again", map_all)
        clock("access_again", cuda.cuMemSetAccess, base, size(total), ctypes.byref(access), size(1))
        clock("unmap_together", cuda.cuMemUnmap, base, size(total))
        clock("release", release)
        clock("free_address", cuda.cuMemAddressFree, base, size(total))
    return clock.medians()


def small(cuda):
    clock, stream, other, event = Clock(), ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
    pointer = ctypes.c_uint64()
    cuda.cuStreamCreate(ctypes.byref(stream), 1)
    cuda.cuStreamCreate(ctypes.byref(other), 1)
    cuda.cuMemAlloc_v2(ctypes.byref(pointer), size(4096))
    for _ in range(2000):
        clock("event_create", cuda.cuEventCreate, ctypes.byref(event), 2)
        clock("event_record", cuda.cuEventRecord, event, stream)
        clock("stream_wait_event", cuda.cuStreamWaitEvent, other, event, 0)
        cuda.cuStreamSynchronize(stream)
        clock("event_query", cuda.cuEventQuery, event)
        clock("event_destroy", cuda.cuEventDestroy_v2, event)
        clock("fill_8_bytes", cuda.cuMemsetD8Async, pointer, ctypes.c_ubyte(1), size(8), stream)
        cuda.cuStreamSynchronize(stream)
    return clock.medians()


def main():
    try:
        cuda = Driver()
    except (OSError, RuntimeError) as reason:
        json.dump({"benchmark": "device_memory", "skipped": f"no GPU: {reason}"}, sys.stdout)
        return print()
    rows = [{"what": "events and a fill", "us": small(cuda)}]
    for mib in (2, 64, 1024, 2048, 4096):
        rows.append({"what": "cuMemAlloc", "MiB": mib, "us": plain(cuda, mib * MIB, 15)})
        rows.append({"what": "cuMemAllocAsync", "MiB": mib, "us": ordered(cuda, mib * MIB, 15)})
    for total, chunk in ((64, 2), (2048, 32), (2048, 64), (2048, 128), (2048, 256), (2048, 2048), (4096, 128)):
        rows.append({"what": "virtual memory", "MiB": total, "chunk_MiB": chunk,
                     "us": virtual(cuda, total * MIB, chunk * MIB, 7)})
    for row in rows:
        print(row["what"], row.get("MiB", ""), row.get("chunk_MiB", ""), row["us"], file=sys.stderr)
    json.dump({"benchmark": "device_memory", "unit": "us", "rows": rows}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
