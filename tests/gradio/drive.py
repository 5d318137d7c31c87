"""Sends jobs to app.py and logs the truth about each: when it was requested and how it ended.

Usage: drive.py LOG URL... The same jobs are sent to each URL at the same time, to the first set of functions through the
first URL, to the second set through the second one, and so on. The URLs may be those of proxies. Times are in ns of
CLOCK_MONOTONIC. An outcome is what the client did or received.
"""

import http.client
import json
import os
import sys
import threading
import time
import urllib.parse

from gradio_client import Client

LOG, URLS = sys.argv[1], [url.rstrip("/") for url in sys.argv[2:]]
LOCK = threading.Lock()
FUNCTIONS = ["work", "fail", "steps", "large"]


def read_until(connection, words, seconds):
    """Reads a stream until it contains all words, or for some seconds: a proxy may hold the stream back."""
    text, ends = b"", time.monotonic() + seconds
    while not all(word.encode() in text for word in words) and (left := ends - time.monotonic()) > 0:
        connection.sock.settimeout(left)
        try:
            piece = connection.sock.recv(65536)
        except TimeoutError:
            return
        if not piece:
            return
        text += piece


def all_at_once(action, items):
    threads = [threading.Thread(target=action, args=[item]) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Driver:
    """The clients of one URL and one set of functions."""

    def __init__(self, number):
        self.number, self.url = number, URLS[number]
        self.address = urllib.parse.urlsplit(self.url).netloc

    def client(self):
        return Client(self.url, verbose=False)

    def index(self, function):
        return len(FUNCTIONS) * self.number + FUNCTIONS.index(function)

    def api_name(self, function):
        return f"{function}_{self.number}"

    def tag(self, tag):
        return f"{tag}/{self.number}"

    def log(self, tag, function, asked_ns, outcome, via="queue"):
        record = {"tag": self.tag(tag), "fn": self.index(function), "name": self.api_name(function), "via": via}
        record |= {"asked_ns": asked_ns, "outcome": outcome, "ended_ns": time.monotonic_ns()}
        with LOCK, open(LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def submit(self, of, tag, function, seconds):
        # The client of version 4 fails if a job ends before it has recorded the ID of the next one.
        time.sleep(0.25)
        asked_ns = time.monotonic_ns()
        return tag, function, asked_ns, of.submit(self.tag(tag), seconds, api_name=f"/{self.api_name(function)}")

    def wait(self, job):
        tag, function, asked_ns, future = job
        try:
            future.result(timeout=60)
            outcome = "success"
        except Exception as error:  # The client raises different exceptions for a failed job.
            print(f"{self.tag(tag)}: {error!r}", file=sys.stderr)
            outcome = "error"
        self.log(tag, function, asked_ns, outcome)

    def cancel(self, job, after):
        tag, function, asked_ns, future = job
        time.sleep(after)
        future.cancel()
        time.sleep(0.5)
        self.log(tag, function, asked_ns, "cancelled")

    def post(self, path, body):
        connection = http.client.HTTPConnection(self.address)
        connection.request("POST", self.prefix + path, json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def open_stream(self, path):
        connection = http.client.HTTPConnection(self.address)
        connection.request("GET", self.prefix + path, headers={"Accept": "text/event-stream"})
        return connection

    def join(self, session, tag, function, seconds):
        asked_ns = time.monotonic_ns()
        body = {"data": [self.tag(tag), seconds], "fn_index": self.index(function), "session_hash": session}
        return asked_ns, self.post("/queue/join", body)["event_id"]

    def call(self, tag, function, seconds, outcome):
        """A job through the API for other languages."""
        asked_ns = time.monotonic_ns()
        path = f"/call/{self.api_name(function)}"
        event = self.post(path, {"data": [self.tag(tag), seconds]})["event_id"]
        connection = self.open_stream(f"{path}/{event}")
        connection.getresponse().read()
        connection.close()
        self.log(tag, function, asked_ns, outcome, "call")

    def leave(self, tag):
        """A client that closes its stream while its job runs, also on a machine that needs a second to open the stream."""
        session = self.tag("leaver")
        asked_ns, event = self.join(session, tag, "work", 4.0)
        connection = self.open_stream(f"/queue/data?session_hash={session}")
        read_until(connection, ["process_starts", event], 0.8)
        connection.close()
        self.log(tag, "work", asked_ns, "abandoned")

    def leave_and_cancel(self, tag):
        """As a browser cancels: it closes the stream and sends the cancellation then."""
        session = self.tag("browser")
        asked_ns, event = self.join(session, tag, "steps", 2.0)
        connection = self.open_stream(f"/queue/data?session_hash={session}")
        read_until(connection, ["process_starts", event], 0.8)
        connection.close()
        self.post("/cancel", {"fn_index": self.index("steps"), "session_hash": session, "event_id": event})
        self.log(tag, "steps", asked_ns, "cancelled")

    def run(self):
        ann, bob = self.client(), self.client()
        self.prefix = ann.config.get("api_prefix", "") or ""
        # The first job blocks the application for about a second.
        self.call("warm-up", "work", 0.1, "success")
        # Jobs of two clients, which wait for each other.
        jobs = [self.submit(ann, f"queue{number}", "work", 1.2) for number in range(3)]
        jobs += [self.submit(bob, "steps", "steps", 2.0), self.submit(bob, "fail", "fail", 0.8)]
        all_at_once(self.wait, jobs)
        jobs = [self.submit(ann, "large", "large", 1.0), self.submit(bob, "fail-again", "fail", 1.5)]
        all_at_once(self.wait, jobs)
        # A running generator is cancelled.
        self.cancel(self.submit(ann, "cancelled-running", "steps", 4.0), 1.0)
        time.sleep(1.5)
        # A queued job is cancelled, while a job of another session runs.
        first = self.submit(bob, "blocker", "work", 2.0)
        time.sleep(0.3)
        self.cancel(self.submit(ann, "cancelled-queued", "work", 1.0), 0.6)
        self.wait(first)
        self.call("call", "work", 1.1, "success")
        self.call("call-fails", "fail", 0.6, "error")
        self.leave("left")
        time.sleep(4.0)
        self.leave_and_cancel("browser")
        time.sleep(2.5)


def run(number):
    try:
        Driver(number).run()
    except BaseException as error:
        print(f"{URLS[number]}: {error!r}", file=sys.stderr, flush=True)
        # The threads of the clients never end.
        os._exit(1)


all_at_once(run, range(len(URLS)))
os._exit(0)
