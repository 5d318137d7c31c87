"""Models: curl downloads missing ones from a server in this process, which sends them in a known time."""

import http.server
import os
import subprocess
import threading
import time

DIRECTORY = os.path.join(".assets", "models")
MODEL_BYTES = 1 << 20
CHUNKS = 32


class Models:
    def __init__(self, version, children):
        self.version, self.children = version, children
        self.server = None

    def is_missing(self, name):
        return not os.path.isfile(os.path.join(DIRECTORY, name + ".onnx"))

    def download(self, name, seconds):
        if self.server is None:
            self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.server.seconds = seconds
        for file in [name + ".hash", name + ".onnx"]:
            url = f"http://127.0.0.1:{self.server.server_port}/{file}"
            # FaceFusion asks for the size first.
            self._curl("-I", url, "--connect-timeout", "5").communicate_and_wait()
            path = os.path.join(DIRECTORY, file)
            download = ["--create-dirs", "--continue-at", "-", "--output", path, url]
            self._curl(*download, "--connect-timeout", "5", "--retry", "5").wait_until_written(path)

    def load(self, name):
        with open(os.path.join(DIRECTORY, name + ".onnx"), "rb") as file:
            return len(file.read())

    def _curl(self, *arguments):
        agent = ["--user-agent", f"FaceFusion/{self.version}"]
        always = ["--insecure"] if self.version.startswith("3.5") else []
        always += ["--location", "--silent"]
        always += [] if self.version.startswith("3.5") else ["--ssl-no-revoke"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        return Curl(self.children, self.children.start("curl", [*agent, *always, *arguments], **pipes))


class Curl:
    def __init__(self, children, child):
        self.children, self.child = children, child

    def communicate_and_wait(self):
        self.child.process.stdout.read()
        self.child.wait()

    def wait_until_written(self, path):
        """FaceFusion looks at the file, not at curl."""
        while self.child.is_running() or not os.path.isfile(path):
            time.sleep(0.005)
        self.children.leave(self.child)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(200)
        self.send_header("Content-Length", str(self.size()))
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        is_model = self.path.endswith(".onnx")
        for _ in range(CHUNKS):
            time.sleep(self.server.seconds / CHUNKS if is_model else 0)
            self.wfile.write(bytes(self.size() // CHUNKS))

    def size(self):
        return MODEL_BYTES if self.path.endswith(".onnx") else CHUNKS

    def log_message(self, *_):
        pass
