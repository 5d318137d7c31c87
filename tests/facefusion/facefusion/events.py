"""The log: a line of JSON for each event, with both clocks."""

import contextlib
import json
import os
import time


class Log:
    def __init__(self, path):
        # One write per line, so lines of several threads and processes do not mix.
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, event, **details):
        record = {"event": event, "monotonic_ns": time.monotonic_ns(), "realtime_ns": time.time_ns(), **details}
        os.write(self.file, (json.dumps(record) + "\n").encode())

    def clear(self):
        os.ftruncate(self.file, 0)

    @contextlib.contextmanager
    def phase(self, job, step, phase):
        """A phase of a job's step, or of the whole job if there is no step. Phases of a job do not overlap."""
        self.write("phase_begins", job=job, step=step, phase=phase)
        try:
            yield
        finally:
            self.write("phase_ends", job=job, step=step, phase=phase)
