"""A Gradio application with functions of known length. It logs when requests for jobs arrive, and when functions begin
and end.

Usage: app.py PORT LOG. Times are in ns of CLOCK_MONOTONIC. The numbers of the functions are 0, 1, 2 and 3.
"""

import json
import sys
import time

import gradio as gr
from starlette.middleware import Middleware

PORT, LOG = int(sys.argv[1]), sys.argv[2]


def log(tag, what, session=None):
    record = {"tag": tag, "what": what, "at_ns": time.monotonic_ns(), "session": session}
    with open(LOG, "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


class LogRequests:
    """Logs when the whole request for a job has arrived in the application, and when a client opens its stream.

    The server reports that a job starts only to an open stream.
    """

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        path = scope.get("path", "")
        if path.endswith("/queue/data"):
            log(None, "listens", scope["query_string"].decode().removeprefix("session_hash="))
        if scope.get("method") != "POST" or not (path.endswith("/queue/join") or "/call/" in path):
            return await self.app(scope, receive, send)
        body = b""

        async def logged():
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            if message["type"] == "http.request" and not message.get("more_body"):
                request = json.loads(body)
                log(request["data"][0], "asked", request.get("session_hash"))
            return message

        return await self.app(scope, logged, send)


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
    for function in (work, fail, steps, large):
        button = gr.Button(function.__name__)
        button.click(function, [tag, seconds], result, api_name=function.__name__, concurrency_limit=1)

app.queue().launch(
    server_name="127.0.0.1",
    server_port=PORT,
    show_error=True,
    quiet=True,
    app_kwargs={"middleware": [Middleware(LogRequests)]},
)
