"""The job store: a JSON file per job, which moves through a directory per status and is rewritten in place."""

import datetime
import json
import os
import shutil
import time

STATUSES = ["drafted", "queued", "completed", "failed"]


def now():
    return datetime.datetime.now().astimezone().isoformat()


class Jobs:
    def __init__(self, path, slow_write_s, log):
        self.path, self.slow_write_s, self.log = path, slow_write_s, log
        for status in STATUSES:
            os.makedirs(os.path.join(path, status), exist_ok=True)

    def create(self, job):
        content = {"version": "1", "date_created": now(), "date_updated": None, "steps": []}
        self._write(self._path(job, "drafted"), content)
        self.log.write("job_created", job=job)

    def add_step(self, job, args):
        content = self.read(job)
        content["steps"].append({"args": args, "status": "drafted"})
        self._update(job, content)
        self.log.write("step_added", job=job, processors=args["processors"])

    def submit(self, job):
        self._set_all(job, "queued")
        self._move(job, "queued")
        self.log.write("job_submitted", job=job)

    def requeue(self, job):
        """A failed job is queued again."""
        self._set_all(job, "queued")
        self._move(job, "queued")
        self.log.write("job_retried", job=job)

    def start_step(self, job, index):
        self._set(job, index, "started")
        processors = self.read(job)["steps"][index]["args"]["processors"]
        self.log.write("step_started", job=job, step=index, processors=processors)

    def end_step(self, job, index, status):
        self._set(job, index, status)
        self.log.write("step_ended", job=job, step=index, status=status)

    def end(self, job, outcome, reason):
        self._move(job, outcome)
        self.log.write("job_ended", job=job, outcome=outcome, reason=reason)

    def delete(self, job):
        path = self._find(job)
        status = os.path.basename(os.path.dirname(path))
        os.remove(path)
        self.log.write("job_deleted", job=job, status=status)

    def queued(self):
        """The queued jobs, the one that was changed first in front."""
        directory = os.path.join(self.path, "queued")
        paths = [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if name.endswith(".json")]
        paths.sort(key=os.path.getmtime)
        return [os.path.basename(path).removesuffix(".json") for path in paths]

    def read(self, job):
        with open(self._find(job), encoding="utf-8") as file:
            return json.load(file)

    def _set_all(self, job, status):
        content = self.read(job)
        for step in content["steps"]:
            step["status"] = status
        self._update(job, content)

    def _set(self, job, index, status):
        content = self.read(job)
        content["steps"][index]["status"] = status
        self._update(job, content)

    def _update(self, job, content):
        content["date_updated"] = now()
        self._write(self._find(job), content)

    def _write(self, path, content):
        """Not atomic: the file is emptied first. A slow writer makes readers see half of it."""
        text = json.dumps(content, indent=4)
        with open(path, "w", encoding="utf-8") as file:
            if self.slow_write_s:
                file.write(text[: len(text) // 2])
                file.flush()
                time.sleep(self.slow_write_s)
                text = text[len(text) // 2 :]
            file.write(text)

    def _move(self, job, status):
        shutil.move(self._find(job), self._path(job, status))

    def _path(self, job, status):
        return os.path.join(self.path, status, job + ".json")

    def _find(self, job):
        paths = [self._path(job, status) for status in STATUSES]
        return next(path for path in paths if os.path.isfile(path))
