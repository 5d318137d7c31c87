"""A step of a job that is being processed, and the fault that the scenario has for it."""

import collections
import os

from facefusion.video import temporary

# What the processing of a step returns instead of 0.
FAILED, REFUSED, STOPPED = 1, 3, 4


class Target(collections.namedtuple("Target", "path video")):
    @property
    def temporary(self):
        return temporary(self.path)


class Step:
    def __init__(self, log, job, index, settings, attempt):
        self.log, self.job, self.index, self.settings = log, job, index, settings
        faults = settings.get("faults", [])
        # The fault of this attempt: None, `refused`, `load_fails`, `extract_fails`, `extract_killed`, `merge_killed`,
        # `writer_dies`, `writer_killed`, `stopped` or `crash`.
        self.fault = faults[attempt] if attempt < len(faults) else None
        self.is_stopping = False

    def phase(self, phase):
        return self.log.phase(self.job, self.index, phase)

    def frame(self, number, total):
        self.log.write("frame", job=self.job, step=self.index, number=number, total=total)
        if number >= total // 2:
            # A user's stop, which no child sees.
            self.is_stopping = self.fault == "stopped"
            if self.fault == "crash":
                self.crash()

    def crash(self):
        self.log.write("crash", job=self.job, step=self.index)
        os._exit(1)

    def stop_code(self):
        return STOPPED if self.is_stopping else FAILED
