"""Sends jobs to app.py and logs the truth about each: when it was requested and how it ended.

Usage: drive.py URL LOG. Times are in ns of CLOCK_MONOTONIC. An outcome is what the client did or received.
"""

import http.client
import json
import os
import sys
import threading
import time
import urllib.parse

from gradio_client import Client

URL, LOG = sys.argv[1].rstrip("/"), sys.argv[2]
ADDRESS = urllib.parse.urlsplit(URL).netloc
LOCK = threading.Lock()
FUNCTIONS = {"work": 0, "fail": 1, "steps": 2, "large": 3}


def log(tag, function, asked_ns, outcome, via="queue"):
    record = {"tag": tag, "fn": FUNCTIONS[function], "via": via, "asked_ns": asked_ns, "outcome": outcome}
    with LOCK, open(LOG, "a", encoding="utf-8") as file:
        file.write(json.dumps({**record, "ended_ns": time.monotonic_ns()}) + "\n")


def client():
    return Client(URL, verbose=False)


PREFIX = client().config.get("api_prefix", "") or ""


def submit(of, tag, function, seconds):
    # The client of version 4 fails if a job ends before it has recorded the ID of the next one.
    time.sleep(0.25)
    return tag, function, time.monotonic_ns(), of.submit(tag, seconds, api_name=f"/{function}")


def wait(job):
    tag, function, asked_ns, future = job
    try:
        future.result(timeout=60)
        outcome = "success"
    except Exception as error:  # The client raises different exceptions for a failed job.
        print(f"{tag}: {error!r}", file=sys.stderr)
        outcome = "error"
    log(tag, function, asked_ns, outcome)


def all_at_once(jobs):
    threads = [threading.Thread(target=wait, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def cancel(job, after):
    tag, function, asked_ns, future = job
    time.sleep(after)
    future.cancel()
    time.sleep(0.5)
    log(tag, function, asked_ns, "cancelled")


def post(path, body):
    connection = http.client.HTTPConnection(ADDRESS)
    connection.request("POST", PREFIX + path, json.dumps(body), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def open_stream(path):
    connection = http.client.HTTPConnection(ADDRESS)
    connection.request("GET", PREFIX + path, headers={"Accept": "text/event-stream"})
    return connection, connection.getresponse()


def read_until(stream, words):
    while True:
        line = stream.readline().decode()
        if not line or all(word in line for word in words):
            return line


def join(session, tag, function, seconds):
    asked_ns = time.monotonic_ns()
    body = {"data": [tag, seconds], "fn_index": FUNCTIONS[function], "session_hash": session}
    return asked_ns, post("/queue/join", body)["event_id"]


def call(tag, function, seconds, outcome):
    """A job through the API for other languages."""
    asked_ns = time.monotonic_ns()
    event = post(f"/call/{function}", {"data": [tag, seconds]})["event_id"]
    connection, stream = open_stream(f"/call/{function}/{event}")
    read_until(stream, ["data:"])
    stream.read()
    connection.close()
    log(tag, function, asked_ns, outcome, "call")


def leave(tag):
    """A client that closes its stream while its job runs."""
    asked_ns, event = join("leaver", tag, "work", 1.0)
    connection, stream = open_stream("/queue/data?session_hash=leaver")
    read_until(stream, ["process_starts", event])
    stream.close()
    connection.close()
    log(tag, "work", asked_ns, "abandoned")


def leave_and_cancel(tag):
    """As a browser cancels: it closes the stream and sends the cancellation then."""
    asked_ns, event = join("browser", tag, "steps", 2.0)
    connection, stream = open_stream("/queue/data?session_hash=browser")
    read_until(stream, ["process_starts", event])
    stream.close()
    connection.close()
    post("/cancel", {"fn_index": 2, "session_hash": "browser", "event_id": event})
    log(tag, "steps", asked_ns, "cancelled")


def main():
    # The first job blocks the application for about a second.
    call("warm-up", "large", 0.1, "success")
    ann, bob = client(), client()
    # Jobs of two clients, which wait for each other.
    jobs = [submit(ann, f"queue{number}", "work", 1.2) for number in range(3)]
    jobs += [submit(bob, "steps", "steps", 2.0), submit(bob, "fail", "fail", 0.8)]
    all_at_once(jobs)
    all_at_once([submit(ann, "large", "large", 1.0), submit(bob, "fail-again", "fail", 1.5)])
    # A running generator is cancelled.
    cancel(submit(ann, "cancelled-running", "steps", 4.0), 1.0)
    time.sleep(1.5)
    # A queued job is cancelled, while a job of another session runs.
    first = submit(bob, "blocker", "work", 2.0)
    time.sleep(0.3)
    cancel(submit(ann, "cancelled-queued", "work", 1.0), 0.6)
    wait(first)
    call("call", "work", 1.1, "success")
    call("call-fails", "fail", 0.6, "error")
    leave("left")
    time.sleep(1.5)
    leave_and_cancel("browser")
    time.sleep(2.5)
    # The threads of the clients never end.
    os._exit(0)


main()
