"""Children: started like FaceFusion's, each with a thread that logs the moment and the code of its exit.

A child stays a zombie until it is waited for, as those of FaceFusion do.
"""

import os
import shutil
import subprocess
import threading


class Child:
    def __init__(self, log, program, arguments, **pipes):
        self.log, self.program = log, program
        self.process = subprocess.Popen([shutil.which(program), *arguments], **pipes)
        log.write("child_begins", program=program, pid=self.process.pid)
        self.exit_code = None
        self.watcher = threading.Thread(target=self._watch, daemon=True)
        self.watcher.start()

    def _watch(self):
        # The zombie is left for the others.
        ended = os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        self.exit_code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        self.log.write("child_ends", program=self.program, pid=self.process.pid, exit_code=self.exit_code)

    def is_running(self):
        return self.watcher.is_alive()

    def wait(self):
        self.watcher.join()
        self.process.wait()
        return self.exit_code

    def kill(self):
        if self.is_running():
            self.process.kill()
        self.wait()


class Children:
    def __init__(self, log):
        self.log, self.left = log, []

    def start(self, program, arguments, **pipes):
        # FaceFusion forgets some children. They are waited for when the next one starts.
        for child in [child for child in self.left if not child.is_running()]:
            child.wait()
            self.left.remove(child)
        return Child(self.log, program, arguments, **pipes)

    def leave(self, child):
        self.left.append(child)

    def run(self, program, arguments):
        """Runs a program and returns its exit code and output."""
        child = self.start(program, arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        output, _ = child.process.stdout.read(), child.process.stderr.read()
        return child.wait(), output.decode()

    def ffmpeg(self, arguments):
        return self.run("ffmpeg", ["-loglevel", "error", *arguments])[0]

    def open_ffmpeg(self, arguments):
        """An ffmpeg with a pipe on each side."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        return self.start("ffmpeg", ["-loglevel", "error", *arguments], **pipes)
