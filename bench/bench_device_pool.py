"""The device pool against its peers, in one process on one GPU.

    ./dev bench device_pool
    python3 bench/bench_device_pool.py --library build/release/lib/libqdsim.so

Traces: 10^3, 10^4 and 10^5 random allocations of up to 1, 64, 1024 and 4096 MiB (73 % of the operations allocate, at most
16000 MiB live), each twice on the same pool, cold and warm; and 4 streams that 4 times take a block, fill 8 bytes of it and
give it back. Peers: cuMemAlloc (which cudaMalloc calls), cuMemAllocAsync with its default pool kept full, PyTorch's caching
allocator (called natively when bench/peers/device_pools.cpp compiles against its headers), and CuPy's two pools, which have
no interface but Python: their figures contain the interpreter, so qdsim's pool through CuPy stands beside them.
qdsim's pool runs with the slack that it has by default, 1.15, with 4, and with no bound.
A run stops after --seconds, and a trace that would take longer, by the pace of the pool on a shorter one, is left out; times
are per operation. "reserved" is the peak that the pool held of the device, "over peer" the warm time over that of the fastest
peer. JSON on standard output, a table on standard error.
"""
import argparse
import ctypes
import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "bench" / "peers" / "device_pools.cpp"
MIB = 1 << 20
CAP = 16000 * MIB
OPERATION = numpy.dtype([("allocate", "i4"), ("block", "i4"), ("bytes", "u8")])
STREAMS, KERNELS, ROUNDS = 4, 4, 200


def make_trace(allocations, max_bytes, seed=1):
    """Sizes are uniform. An operation allocates with probability 0.73 while the cap allows it and some are left; else a random
    live block is given back. Returns the operations and the peak of the live bytes."""
    random = numpy.random.default_rng(seed)
    sizes = random.integers(1, max_bytes, 2 * allocations, endpoint=True).tolist()
    chances = random.integers(0, 100, 2 * allocations).tolist()
    picks = random.integers(0, 2**31, 2 * allocations).tolist()
    operations, live = [], []
    used = peak = made = 0
    for size, chance, pick in zip(sizes, chances, picks):
        if made < allocations and used + size < CAP and (not live or chance < 73):
            operations.append((1, made, size))
            live.append((made, size))
            used, made = used + size, made + 1
            peak = max(peak, used)
        elif live:
            at = pick % len(live)
            live[at], live[-1] = live[-1], live[at]
            block, size = live.pop()
            operations.append((0, block, size))
            used -= size
    return numpy.array(operations, OPERATION), peak


# --- the native loops -----------------------------------------------------------------------------------------------

class Pair(ctypes.Structure):
    _fields_ = [("allocate", ctypes.c_void_p), ("release", ctypes.c_void_p)]


def compile_loops(folder):
    """The native loops, with PyTorch's allocator where its headers serve; says on standard error why not."""
    base = ["g++", "-O2", "-std=c++17", "-shared", "-fPIC", str(SOURCE), f"-I{ROOT}/include",
            "-I/usr/local/cuda/include"]
    library = Path(folder) / "loops.so"
    try:
        import torch
        from torch.utils.cpp_extension import include_paths, library_paths
        torch_flags = ["-DWITH_TORCH", f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}",
                       *(f"-I{path}" for path in include_paths()),
                       *(f"-L{path}" for path in library_paths()), "-lc10_cuda", "-lc10"]
        attempts = [torch_flags, []]
    except ImportError as reason:
        print(f"no PyTorch: {reason}", file=sys.stderr)
        attempts = [[]]
    for flags in attempts:
        made = subprocess.run([*base, *flags, "-o", str(library)], capture_output=True, text=True)
        if made.returncode == 0:
            break
        print(f"the native loops did not compile: {made.stderr[-1500:]}", file=sys.stderr)
    else:
        raise SystemExit("the native loops did not compile")
    loops = ctypes.CDLL(str(library))
    loops.pool_trace.restype = loops.pool_streams.restype = ctypes.c_double
    return loops


class Native:
    """An allocator with a pair of C functions."""
    language = "C"

    def __init__(self, cuda, pair):
        self.cuda, self.pair = cuda, pair

    def trace(self, operations, blocks, limit_s):
        done, failed = ctypes.c_int64(), ctypes.c_int64()
        seconds = self.cuda.loops.pool_trace(
            ctypes.byref(self.pair), 0, ctypes.c_void_p(self.cuda.streams[0]), operations.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(len(operations)), ctypes.c_int64(blocks), ctypes.c_double(limit_s), ctypes.byref(done),
            ctypes.byref(failed))
        return seconds, done.value, failed.value

    def streams(self, bytes_each):
        finished = ctypes.c_double()
        handles = (ctypes.c_void_p * STREAMS)(*self.cuda.streams)
        enqueued = self.cuda.loops.pool_streams(ctypes.byref(self.pair), 0, handles, STREAMS, KERNELS,
                                                ctypes.c_uint64(bytes_each), ctypes.byref(finished))
        return enqueued, finished.value


class Cuda:
    """The driver's functions that the benchmark itself needs, and four streams."""

    def __init__(self, loops):
        self.loops, self.library = loops, ctypes.CDLL("libcuda.so.1")
        context = ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), 0)
        self.call("cuCtxSetCurrent", context)
        self.streams = []
        for _ in range(STREAMS):
            stream = ctypes.c_void_p()
            self.call("cuStreamCreate", ctypes.byref(stream), 1)
            self.streams.append(stream.value)
        self.pool = ctypes.c_void_p()
        self.call("cuDeviceGetDefaultMemPool", ctypes.byref(self.pool), 0)

    def call(self, name, *arguments):
        status = self.library[name](*arguments)
        if status != 0:
            raise RuntimeError(f"{name} failed with {status}")

    def empty_pool(self):
        self.call("cuCtxSynchronize")
        self.call("cuMemPoolTrimTo", self.pool, ctypes.c_size_t(0))
        for attribute, value in ((4, 2**64 - 1), (6, 0)):  # release threshold, highest reserved
            self.call("cuMemPoolSetAttribute", self.pool, attribute, ctypes.byref(ctypes.c_uint64(value)))

    def pool_reserved(self):
        value = ctypes.c_uint64()
        self.call("cuMemPoolGetAttribute", self.pool, 6, ctypes.byref(value))
        return value.value


class Driver(Native):
    def __init__(self, cuda):
        pair = Pair()
        cuda.loops.pool_pair(0, ctypes.byref(pair))
        super().__init__(cuda, pair)

    def reserved(self):
        return None

    def close(self):
        pass


class Ordered(Native):
    def __init__(self, cuda):
        pair = Pair()
        cuda.loops.pool_pair(1, ctypes.byref(pair))
        cuda.empty_pool()
        super().__init__(cuda, pair)

    def reserved(self):
        return self.cuda.pool_reserved()

    def close(self):
        self.cuda.empty_pool()


class Torch(Native):
    def __init__(self, cuda):
        import torch
        torch.cuda.init()
        torch.zeros(1, device="cuda")
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        self.torch = torch
        pair = Pair()
        cuda.loops.pool_pair(2, ctypes.byref(pair))
        super().__init__(cuda, pair)

    def reserved(self):
        return self.torch.cuda.max_memory_reserved()

    def close(self):
        self.torch.cuda.empty_cache()


class TorchPython:
    language = "Python"

    def __init__(self, cuda):
        import torch
        torch.cuda.init()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        self.torch, self.cuda = torch, cuda

    def trace(self, operations, blocks, limit_s):
        alloc, delete = self.torch.cuda.caching_allocator_alloc, self.torch.cuda.caching_allocator_delete
        stream = self.cuda.streams[0]
        return python_trace(lambda size: alloc(size, 0, stream), delete, operations, limit_s)

    def streams(self, bytes_each):
        return None

    def reserved(self):
        return self.torch.cuda.max_memory_reserved()

    def close(self):
        self.torch.cuda.empty_cache()


class PoolStatistics(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("used", "peak_used", "reserved", "peak_reserved")]


class Qdsim(Native):
    path = None

    def __init__(self, cuda, slack=0.0):
        self.library = ctypes.CDLL(self.path)
        self.library.qds_last_error.restype = ctypes.POINTER(LastError)
        self.context, self.pool = ctypes.c_void_p(), ctypes.c_void_p()
        self.check(cuda.loops.pool_context(self.library.qds_context_create, ctypes.byref(self.context)))
        self.check(self.library.qds_device_pool_create(self.context, ctypes.c_void_p(cuda.streams[0]), b"bench",
                                                       ctypes.byref(self.pool)))
        self.check(self.library.qds_device_pool_set_slack(self.pool, ctypes.c_double(slack)))
        self.check(self.library.qds_device_pool_install(self.pool))
        address = [ctypes.cast(self.library[name], ctypes.c_void_p).value for name in ("qds_torch_malloc", "qds_torch_free")]
        super().__init__(cuda, Pair(*address))

    def check(self, status):
        if status != 0:
            raise RuntimeError(self.library.qds_last_error().contents.message.decode())

    def reserved(self):
        statistics = PoolStatistics()
        self.library.qds_device_pool_read(self.pool, ctypes.byref(statistics))
        return statistics.peak_reserved

    def close(self):
        self.library.qds_device_pool_destroy(self.pool)
        self.library.qds_context_destroy(self.context)


class LastError(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("message", ctypes.c_char_p)]


# --- CuPy, from Python ----------------------------------------------------------------------------------------------

def python_trace(allocate, release, operations, limit_s):
    held, failed, done = {}, 0, 0
    steps = operations.tolist()
    start = time.perf_counter()
    for make, block, size in steps:
        if make:
            try:
                held[block] = allocate(size)
            except Exception as reason:  # CuPy and PyTorch raise classes of their own
                if "memory" not in str(reason).lower():
                    raise
                failed += 1
        elif block in held:
            release(held.pop(block))
        done += 1
        if done % 64 == 0 and time.perf_counter() - start > limit_s:
            break
    seconds = time.perf_counter() - start
    while held:
        release(held.popitem()[1])
    return seconds, done, failed


class Cupy:
    language = "Python"

    def __init__(self, cuda):
        import cupy
        self.cupy, self.cuda, self.peak = cupy, cuda, 0
        self.stream = cupy.cuda.ExternalStream(cuda.streams[0])
        self.make()

    def make(self):
        self.pool = self.cupy.cuda.MemoryPool()
        self.malloc = self.pool.malloc

    def trace(self, operations, blocks, limit_s):
        with self.stream:
            # The pointer's destruction gives the block back.
            result = python_trace(self.malloc, lambda pointer: None, operations, limit_s)
            self.measure(operations[:min(result[1], 20000)])
        return result

    def measure(self, operations):
        """The peak of the reserved bytes, on a fresh pool, asked after each allocation."""
        pool = self.cupy.cuda.MemoryPool()

        def allocate(size):
            pointer = pool.malloc(size)
            self.peak = max(self.peak, pool.total_bytes())
            return pointer

        python_trace(allocate, lambda pointer: None, operations, 3)
        pool.free_all_blocks()

    def streams(self, bytes_each):
        streams = [self.cupy.cuda.ExternalStream(each) for each in self.cuda.streams]
        self.cuda.call("cuCtxSynchronize")
        start = time.perf_counter()
        for _ in range(KERNELS):
            for stream in streams:
                with stream:
                    pointer = self.malloc(bytes_each)
                    self.cupy.cuda.runtime.memsetAsync(pointer.ptr, 1, 8, stream.ptr)
                    del pointer
        enqueued = time.perf_counter() - start
        self.cuda.call("cuCtxSynchronize")
        return enqueued, time.perf_counter() - start

    def reserved(self):
        return self.peak

    def close(self):
        gc.collect()
        self.pool.free_all_blocks()


class CupyAsync(Cupy):
    def make(self):
        self.cuda.empty_pool()
        self.pool = self.cupy.cuda.MemoryAsyncPool()
        self.malloc = self.pool.malloc

    def measure(self, operations):
        self.peak = self.cuda.pool_reserved()

    def close(self):
        gc.collect()
        self.cuda.empty_pool()


class CupyQdsim(Cupy):
    """CuPy on qdsim's pool."""

    def make(self):
        self.own = Qdsim(self.cuda)
        names = ("qds_device_pool_malloc", "qds_device_pool_free")
        address = [ctypes.cast(self.own.library[name], ctypes.c_void_p).value for name in names]
        self.malloc = self.cupy.cuda.memory.CFunctionAllocator(self.own.pool.value, *address, self.own).malloc

    def measure(self, operations):
        self.peak = self.own.reserved()

    def streams(self, bytes_each):
        return None  # the allocator is bound to one stream

    def close(self):
        gc.collect()
        self.own.close()


# --- the runs -------------------------------------------------------------------------------------------------------

def run_trace(cuda, make, trace, allocations, limit_s):
    """One trace, cold and warm, on a pool of its own."""
    operations, peak = trace
    pool = make(cuda)
    try:
        row = {"language": pool.language, "peak_used_bytes": peak}
        for temperature in ("cold", "warm"):
            seconds, done, failed = pool.trace(operations, allocations, limit_s)
            row[temperature] = {"seconds": round(seconds, 6), "operations": done, "complete": done == len(operations),
                                "refused": failed, "us_per_operation": round(1e6 * seconds / done, 4)}
        row["peak_reserved_bytes"] = pool.reserved()
        if row["peak_reserved_bytes"] and row["warm"]["complete"]:
            row["reserved_over_used"] = round(row["peak_reserved_bytes"] / peak, 4)
        return row
    finally:
        pool.close()


def run_traces(cuda, name, make, traces, limit_s):
    pace = {}  # us per operation, by the largest block
    for (maximum, allocations), trace in sorted(traces.items()):
        row = {"pool": name, "max_MiB": maximum, "allocations": allocations}
        expected = len(trace[0]) * pace.get(maximum, 0) / 1e6
        if expected > limit_s:
            row["left_out"] = f"it would take {expected:.0f} s"
        else:
            row.update(run_trace(cuda, make, trace, allocations, limit_s))
            pace[maximum] = max(row[t]["us_per_operation"] for t in ("cold", "warm"))
        yield row


def run_streams(cuda, name, make):
    for bytes_each in (8, 4 * MIB):
        pool = make(cuda)
        try:
            cold = pool.streams(bytes_each)
            if cold is None:
                return
            warm = sorted(pool.streams(bytes_each) for _ in range(ROUNDS))[ROUNDS // 2]
            yield {"pool": name, "language": pool.language, "streams": STREAMS, "kernels_each": KERNELS, "bytes": bytes_each,
                   "cold_us": round(1e6 * cold[1], 2), "warm_us": round(1e6 * warm[1], 2),
                   "cold_enqueue_us": round(1e6 * cold[0], 2), "warm_enqueue_us": round(1e6 * warm[0], 2)}
        finally:
            pool.close()


def compare(rows, case, time_of):
    """Puts each row's time over that of the fastest peer of the same case."""
    fastest = {}
    for row in rows:
        if "qdsim" not in row["pool"] and time_of(row):
            fastest[case(row)] = min(time_of(row), fastest.get(case(row), float("inf")))
    for row in rows:
        if time_of(row) and case(row) in fastest:
            row["over_fastest_peer"] = round(time_of(row) / fastest[case(row)], 3)


def case_of(row):
    return row["max_MiB"], row["allocations"]


def warm_us(row):
    return row["warm"]["us_per_operation"] if "warm" in row and row["warm"]["complete"] else None


def show(rows, streams):
    compare(rows, case_of, warm_us)
    compare(streams, lambda row: row["bytes"], lambda row: row["warm_us"])
    print(f"{'pool':16} {'max MiB':>7} {'count':>6} {'cold us':>9} {'warm us':>9} {'reserved/used':>13} {'over peer':>9}",
          file=sys.stderr)
    for row in sorted(rows, key=case_of):
        head = f"{row['pool']:16} {row['max_MiB']:7} {row['allocations']:6}"
        if "left_out" in row:
            print(f"{head} left out: {row['left_out']}", file=sys.stderr)
            continue
        times = [f"{row[t]['us_per_operation']:9.3f}" + ("" if row[t]["complete"] else "*") for t in ("cold", "warm")]
        print(f"{head} {times[0]} {times[1]} {row.get('reserved_over_used', '-'):>13} {row.get('over_fastest_peer', '-'):>9}",
              file=sys.stderr)
    print("* stopped after the time limit", file=sys.stderr)
    for row in sorted(streams, key=lambda row: row["bytes"]):
        print(f"{row['pool']:16} 4 streams x 4 fills, {row['bytes']:8} bytes: cold {row['cold_us']:9.1f} us, "
              f"warm {row['warm_us']:8.1f} us, of which enqueueing {row['warm_enqueue_us']:8.1f} us; "
              f"over peer {row.get('over_fastest_peer', '-')}", file=sys.stderr)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--library", type=Path, default=ROOT / "build" / "release" / "lib" / "libqdsim.so")
    options.add_argument("--seconds", type=float, default=4, help="for one run of a trace")
    options.add_argument("--allocations", type=int, nargs="*", default=[1000, 10_000, 100_000])
    options.add_argument("--max-mib", type=int, nargs="*", default=[1, 64, 1024, 4096])
    options.add_argument("--pools", nargs="*", help="only these")
    chosen = options.parse_args()
    Qdsim.path = str(chosen.library)
    with tempfile.TemporaryDirectory() as folder:
        try:
            ctypes.CDLL("libcuda.so.1", ctypes.RTLD_GLOBAL)  # for the loops, which are not linked to it
        except OSError as reason:
            json.dump({"benchmark": "device_pool", "skipped": f"no GPU: {reason}"}, sys.stdout)
            return print()
        loops = compile_loops(folder)
        cuda = Cuda(loops)
        pools = {"qdsim": Qdsim, "qdsim slack 4": lambda cuda: Qdsim(cuda, 4.0),
                 "qdsim no bound": lambda cuda: Qdsim(cuda, float("inf")), "cuMemAlloc": Driver, "cuMemAllocAsync": Ordered,
                 "PyTorch": Torch if loops.pool_has_torch() else TorchPython,
                 "CuPy": Cupy, "CuPy async": CupyAsync, "CuPy on qdsim": CupyQdsim}
        traces = {(maximum, allocations): make_trace(allocations, maximum * MIB)
                  for maximum in chosen.max_mib for allocations in chosen.allocations}
        rows, streams, missing = [], [], {}
        for name, make in pools.items():
            if chosen.pools and name not in chosen.pools:
                continue
            try:
                streams += run_streams(cuda, name, make)
                rows += run_traces(cuda, name, make, traces, chosen.seconds)
            except Exception as reason:  # a peer that is missing or broken must not hide the others
                missing[name] = f"{type(reason).__name__}: {reason}"
                print(f"{name}: {missing[name]}", file=sys.stderr)
        show(rows, streams)
        json.dump({"benchmark": "device_pool", "traces": rows, "streams": streams, "missing": missing}, sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()
