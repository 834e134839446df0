#!/usr/bin/env python3
"""Replay all recorded scenarios against a built server, over JSON sockets and again over protobuf sockets.

    run.py [--binary target/debug/kizuna] [--jobs 4] [--only TEXT] [--base http://ADDRESS:PORT]

Starts the server on free ports with tests/conformance.toml and an empty data folder, and ends it afterwards; with --base it
replays against a server that runs already. Fails for a scenario that fails and is not in known-gaps.txt, and for one that is
there and passes. Needs Python 3.11 and the package `websockets`.
"""
import argparse, asyncio, concurrent.futures, json, os, pathlib, queue, signal, subprocess, sys, tempfile, threading, time

sys.dont_write_bytecode = True
import conform

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
START_SECONDS, STOP_SECONDS = 30, 15


def known_gaps():
    """Scenario to reason; a line that is neither a comment nor `scenario<tab>reason` is a fault."""
    gaps = {}
    for number, line in enumerate((HERE / "known-gaps.txt").read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        stem, tab, reason = line.partition("\t")
        if not tab or not reason.strip() or stem in gaps:
            sys.exit(f"known-gaps.txt:{number}: want a scenario of its own, a tab, a reason")
        gaps[stem] = reason
    return gaps


class Server:
    """A server of our own for the length of a `with`. Its log goes to a file, shown when something went wrong."""

    def __init__(self, binary):
        self.binary, self.folder, self.process = binary, tempfile.TemporaryDirectory(prefix="kizuna-conformance-"), None
        self.log = pathlib.Path(self.folder.name) / "log"

    def __enter__(self):
        data = pathlib.Path(self.folder.name) / "data"
        data.mkdir()
        command = [self.binary, "serve", "--config", ROOT / "tests/conformance.toml", "--data-dir", data,
                   "--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("KIZUNA_")}  # each would be a configuration key
        self.process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.log.open("w"), text=True, env=clean)
        lines = queue.Queue()
        threading.Thread(target=self.follow, args=(lines,), daemon=True).start()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                line = lines.get(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                line = None
            if not line:
                self.process.kill()
                sys.exit(f"{self.binary} did not start:\n{self.log.read_text()}")
            if line.startswith("listening http "):
                return "http://" + line.split()[2]

    def follow(self, lines):
        """Reads standard output to its end: a full pipe would stop the server."""
        for line in self.process.stdout:
            lines.put(line)
        lines.put("")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "none in time"
        if status != 0:
            tail = "\n".join(self.log.read_text().splitlines()[-60:])
            sys.exit(f"the server ended with status {status}:\n{tail}")
        self.folder.cleanup()


def replay(files, base, jobs, protobuf):
    """Scenario to the list of what differed. Scenarios about formats or frames have no protobuf replay."""
    if protobuf:
        files = [f for f in files if not conform.about_frames(json.loads(f.read_text()))]
    one = lambda f: asyncio.run(conform.run(f, base, False, "protobuf" if protobuf else None))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return {f.stem: problems for f, problems in zip(files, pool.map(one, files))}


def judge(found, gaps, title):
    """Prints what is wrong; answers how many passed, how many gaps are left, and how many are wrong."""
    passed = [s for s in found if not found[s] and s not in gaps]
    closed = [s for s in found if not found[s] and s in gaps]
    failed = [s for s in found if found[s] and s not in gaps]
    for stem in failed:
        print(f"FAIL {stem}")
        for problem in found[stem][:12]:
            print(f"     {problem}")
    for stem in closed:
        print(f"FAIL {stem}\n     passes, and is still in known-gaps.txt ({gaps[stem]}): take it out")
    left = len(found) - len(passed) - len(closed) - len(failed)
    print(f"{title}: {len(passed)} passed, {len(failed) + len(closed)} failed, {left} known gaps", flush=True)
    return len(failed) + len(closed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--binary", type=pathlib.Path, default=target / "debug/kizuna")
    parser.add_argument("--jobs", type=int, default=4, help="how many scenarios to run at a time")
    parser.add_argument("--only", default="", help="scenarios whose path holds this text")
    parser.add_argument("--base", help="a server that runs already")
    args = parser.parse_args()

    every = sorted((HERE / "scenarios").rglob("*.json"))
    gaps = known_gaps()
    if strangers := gaps.keys() - {f.stem for f in every}:
        sys.exit(f"known-gaps.txt names no scenario: {', '.join(sorted(strangers))}")
    files = [f for f in every if args.only in str(f.relative_to(HERE))]

    def both(base):
        return sum(judge(replay(files, base, args.jobs, protobuf), gaps, title)
                   for protobuf, title in ((False, "json sockets"), (True, "protobuf sockets")))

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))  # so that the server below ends too
    if args.base:
        wrong = both(args.base)
    else:
        with Server(args.binary) as base:
            wrong = both(base)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
