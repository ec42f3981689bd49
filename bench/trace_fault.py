#!/usr/bin/env python3
"""Where each microsecond of a remote page fault goes, seen from outside: `perf` records the system calls and wake-ups of a comparison's
faults, and the faults that went the same way are laid over each other.

    bench/trace_fault.py [SCIFS-BENCH] [--of "exclusive migration"] [--mode blocking|spinning] [--floor] [--save FILE | --load FILE]

Prints the most common course of a fault: for each step the median time since the step before it. Every recorded event costs most of a
microsecond itself, which is in the times; the untraced time of the same fault is what scifs-bench prints. Needs root and perf.
"""

import argparse
import collections
import re
import statistics
import subprocess
import tempfile

EVENTS = "raw_syscalls:sys_enter,raw_syscalls:sys_exit,sched:sched_switch,sched:sched_waking"
CALLS = {0: "read", 7: "poll", 16: "ioctl", 44: "sendto", 45: "recvfrom", 46: "sendmsg", 202: "futex", 232: "epoll_wait",
         281: "epoll_wait", 285: "fallocate", 327: "preadv2"}
IOCTLS = {"c028aa03": "UFFDIO_COPY", "c018aa06": "UFFDIO_WRITEPROTECT", "c020aa07": "UFFDIO_CONTINUE", "c020aa08": "UFFDIO_POISON"}
LINE = re.compile(r"\s*(.+?)\s+(\d+) \[\d+\]\s+([\d.]+):\s+\w+:(\w+): (.*)")
# Threads of a node and of the floor.
SERVING = ("programs", "scifs-")
STEPS_MAX = 60
FAULT_US_MAX = 1000

Event = collections.namedtuple("Event", "thread number at kind what")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bench", nargs="?", default="target/release/scifs-bench")
    parser.add_argument("--mode", default="blocking", choices=["blocking", "spinning"])
    parser.add_argument("--of", default="read miss of 4 KiB", help="the comparison, by its name in the table")
    parser.add_argument("--floor", action="store_true", help="the floor's faults instead of those of SciFS")
    parser.add_argument("--scifs", help="the program that is measured")
    parser.add_argument("--save", help="keep what perf has recorded in this file, as text")
    parser.add_argument("--load", help="look at such a file instead of recording")
    return parser.parse_args()


def record(options):
    with tempfile.NamedTemporaryFile(suffix=".perf") as file:
        bench = [options.bench, "vm", "--effort=25", "--rounds=1", f"--only={options.of} {options.mode}"]
        bench += ["--scifs", options.scifs] if options.scifs else []
        subprocess.run(["perf", "record", "-q", "-a", "-m", "8M", "-o", file.name, "-e", EVENTS, "--", *bench], check=True)
        script = ["perf", "script", "--ns", "-i", file.name, "-F", "comm,tid,cpu,time,event,trace"]
        return subprocess.run(script, check=True, capture_output=True, text=True).stdout


def events(text):
    for line in text.splitlines():
        found = LINE.match(line)
        if found:
            thread, number, at, kind, what = found.groups()
            yield Event(thread, int(number), float(at) * 1e6, kind, what)


def label(event):
    """What the event is called in the course of a fault; nothing if it doesn't count."""
    if event.kind == "sched_waking":
        return "wakes " + re.search(r"comm=(\S+)", event.what)[1]
    if event.kind == "sched_switch":
        return "runs " + re.search(r"next_comm=(\S+)", event.what)[1]
    call = re.match(r"NR (-?\d+)(.*)", event.what)
    if not call:
        return None
    number, rest = call.groups()
    name = CALLS.get(int(number))
    if name is None:
        return None
    if name == "ioctl" and event.kind == "sys_enter":
        name = next((name for code, name in IOCTLS.items() if code in rest), name)
    return ("calls " if event.kind == "sys_enter" else "comes back from ") + name


def courses(all_events):
    """From a loading thread's sleep to when it runs again; of those that had to send something in between."""
    faults, calling = {}, set()
    for event in all_events:
        if event.kind == "sys_enter":
            calling.add(event.number)
        elif event.kind == "sys_exit":
            calling.discard(event.number)
        sleeps = event.kind == "sched_switch" and "prev_state=S" in event.what and event.thread.startswith("scifs-bench")
        # Who sleeps outside of a call has touched a page that isn't there.
        if sleeps and event.number not in calling:
            faults[event.number] = [(event.at, "the program sleeps")]
            continue
        for number in list(faults):
            course = faults[number]
            if event.kind == "sched_switch" and f"next_pid={number} " in event.what:
                course.append((event.at, "the program runs"))
                del faults[number]
                if event.at - course[0][0] < FAULT_US_MAX and any("send" in step for _, step in course):
                    yield course
            elif event.thread.startswith(SERVING):
                name = label(event)
                if name and len(course) < STEPS_MAX:
                    course.append((event.at, f"{event.thread}: {name}"))


def main():
    options = arguments()
    text = open(options.load).read() if options.load else record(options)
    if options.save:
        open(options.save, "w").write(text)
    ways = collections.defaultdict(list)
    for course in courses(events(text)):
        is_floor = not any("programs" in step for _, step in course)
        if is_floor == options.floor and any("UFFDIO" in step for _, step in course):
            ways[tuple(step for _, step in course)].append([at for at, _ in course])
    if not ways:
        raise SystemExit("no remote fault was recorded")
    steps, times = max(ways.items(), key=lambda way: len(way[1]))
    total = statistics.median(at[-1] - at[0] for at in times)
    print(f"{len(times)} of {sum(map(len, ways.values()))} faults went this way; median {total:.1f} µs with what recording costs")
    for index, step in enumerate(steps):
        since = statistics.median(at[index] - at[index - 1] for at in times) if index else 0.0
        print(f"{since:8.1f}  {step}")


if __name__ == "__main__":
    main()
