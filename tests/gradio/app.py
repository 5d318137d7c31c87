"""A Gradio application with functions of known length. It logs when requests for jobs arrive, and when functions begin
and end.

Usage: app.py PORT LOG SETS. Times are in ns of CLOCK_MONOTONIC. The functions of the first set have the numbers 0, 1, 2
and 3, those of the second set 4, 5, 6 and 7, and so on. Jobs of different sets do not wait for each other.
"""

import json
import sys
import time

import gradio as gr
from starlette.middleware import Middleware

PORT, LOG, SETS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
ADDRESS = sys.argv[4] if len(sys.argv) > 4 else "127.0.0.1"


def log(tag, what, **details):
    record = {"tag": tag, "what": what, "at_ns": time.monotonic_ns(), **details}
    with open(LOG, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


class LogRequests:
    """Logs when the whole request for a job has arrived in the application, when streams begin and end, and when one says
    that a job starts or has ended.
    """

    def __init__(self, app):
        self.app, self.streams = app, 0

    async def __call__(self, scope, receive, send):
        path = scope.get("path", "")
        if path.endswith("/queue/data"):
            self.streams += 1
            tag, session = f"stream {self.streams}", scope["query_string"].decode().removeprefix("session_hash=")
            log(tag, "listens", session=session, http=scope["http_version"])
            await self.app(scope, receive, self.stream(send))
            return log(tag, "leaves")
        if scope.get("method") != "POST" or not (path.endswith("/queue/join") or "/call/" in path):
            return await self.app(scope, receive, send)
        request, response = b"", b""

        async def logged():
            nonlocal request
            message = await receive()
            request += message.get("body", b"")
            if message["type"] == "http.request" and not message.get("more_body"):
                job = json.loads(request)
                log(job["data"][0], "asked", session=job.get("session_hash"))
            return message

        async def named(message):
            nonlocal response
            response += message.get("body", b"")
            if message["type"] == "http.response.body" and not message.get("more_body"):
                event = json.loads(response).get("event_id")
                log(json.loads(request)["data"][0], "joined", event=event)
            await send(message)

        await self.app(scope, logged, named)

    def stream(self, send):
        async def logged(message):
            for line in message.get("body", b"").splitlines():
                event = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
                if event.get("msg") in ("process_starts", "process_completed"):
                    log("", event["msg"], event=event["event_id"])
            await send(message)

        return logged


def work(tag, seconds):
    log(tag, "begins")
    time.sleep(seconds)
    log(tag, "ends")
    return "done"


def fail(tag, seconds):
    log(tag, "begins")
    time.sleep(seconds)
    log(tag, "ends")
    raise gr.Error("this function always fails")


def steps(tag, seconds, progress=gr.Progress()):
    log(tag, "begins")
    for step in range(4):
        progress(step / 4, desc="step")
        time.sleep(seconds / 4)
        yield f"step {step}"
    log(tag, "ends")


def large(tag, seconds):
    log(tag, "begins")
    time.sleep(seconds)
    log(tag, "ends")
    return "x" * 300_000


with gr.Blocks() as app:
    tag, seconds, result = gr.Textbox(), gr.Number(), gr.Textbox()
    for number in range(SETS):
        for function in (work, fail, steps, large):
            name = f"{function.__name__}_{number}"
            button = gr.Button(name)
            options = {"api_name": name, "concurrency_id": name, "concurrency_limit": 1}
            button.click(function, [tag, seconds], result, **options)

app.queue().launch(
    server_name=ADDRESS,
    server_port=PORT,
    show_error=True,
    quiet=True,
    app_kwargs={"middleware": [Middleware(LogRequests)]},
)
