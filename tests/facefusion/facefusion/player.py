"""Plays the actions of a scenario: what users do with jobs, and what FaceFusion does then."""

import os
import threading
import time

from facefusion import arguments, video
from facefusion.children import Children
from facefusion.disk import DiskWorkflow
from facefusion.memory import MemoryWorkflow
from facefusion.models import Models
from facefusion.step import FAILED, REFUSED, STOPPED, Step, Target

# Codes of a step, and the reasons that the truth has for them. A user's stop leaves no trace outside of the process.
REASONS = {REFUSED: "refused_by_content_filter", FAILED: "processing_error", STOPPED: "unknown"}


class Player:
    def __init__(self, scenario, jobs, log):
        self.jobs, self.log = jobs, log
        self.children = Children(log)
        self.version = scenario["version"]
        self.models = Models(self.version, self.children)
        workflow = DiskWorkflow if self.version.startswith("3.5") else MemoryWorkflow
        self.workflow = workflow(self.children, log, scenario.get("threads", 8))
        self.settings, self.attempts, self.background = {}, {}, None

    def play(self, actions):
        for action in actions:
            self.do(action)

    def do(self, action):
        job = action.get("job")
        match action["do"]:
            case "create":
                self.jobs.create(job)
            case "add":
                self.add(job, action["step"])
            case "submit":
                self.jobs.submit(job)
            case "run":
                self.run(job)
            case "run_all":
                for queued in self.jobs.queued():
                    self.run(queued)
            case "start":
                self.background = threading.Thread(target=self.run, args=[job])
                self.background.start()
            case "join":
                self.background.join()
            case "retry":
                self.jobs.requeue(job)
                self.run(job)
            case "delete":
                self.delete(job)
            case "instant":
                self.instant(action.get("prefix", "ui"), action["step"])
            case "wait":
                time.sleep(action["seconds"])
            case unknown:
                raise ValueError(unknown)

    def instant(self, prefix, step):
        """A click in the user interface, or a headless run: a job with one step."""
        job = prefix + time.strftime("-%Y-%m-%d-%H-%M-%S")
        self.jobs.create(job)
        self.add(job, step)
        self.jobs.submit(job)
        return self.run(job)

    def add(self, job, step):
        steps = self.settings.setdefault(job, [])
        steps.append(step)
        # All steps have the same output, so their parts are joined.
        output = os.path.join("output", f"{os.path.basename(steps[0]['target'])[:-4]}-{job}.mp4")
        self.jobs.add_step(job, arguments.of_step(step, output))

    def delete(self, job):
        """Another job may get its name."""
        self.jobs.delete(job)
        self.settings.pop(job, None)
        self.attempts.pop(job, None)

    def run(self, job):
        try:
            self._run(job)
        except Exception as error:
            # Nothing catches it in FaceFusion either: the job stays in the queue with a step that has started.
            self.log.write("job_stranded", job=job, error=repr(error))
            if isinstance(self.workflow, MemoryWorkflow):
                self.workflow.close_readers()
            return False
        return not any(step["status"] != "completed" for step in self.jobs.read(job)["steps"])

    def _run(self, job):
        attempt = self.attempts[job] = self.attempts.get(job, -1) + 1
        outputs = {}
        for index, step in enumerate(self.jobs.read(job)["steps"]):
            self.jobs.start_step(job, index)
            code = self._process(Step(self.log, job, index, self.settings[job][index], attempt), step["args"])
            if code != 0:
                self.jobs.end_step(job, index, "failed")
                return self.jobs.end(job, "failed", REASONS[code])
            output = step["args"]["output_path"]
            part = f"{output[:-4]}-{job}-{index}.mp4"
            os.rename(output, part)
            outputs.setdefault(output, []).append(part)
            self.jobs.end_step(job, index, "completed")
        is_faststart = not self.version.startswith("3.5")
        for output, parts in outputs.items():
            with self.log.phase(job, None, "merge"):
                is_done = video.concat(self.children, parts, output, is_faststart)
            for part in parts:
                os.remove(part)
            if not is_done:
                return self.jobs.end(job, "failed", "processing_error")
        self.jobs.end(job, "completed", "none")

    def _process(self, step, args):
        os.makedirs("output", exist_ok=True)
        for processor in args["processors"]:
            if "download_s" in step.settings and self.models.is_missing(processor):
                with step.phase("download"):
                    self.models.download(processor, step.settings["download_s"])
                self.models.load(processor)
        if step.fault == "load_fails":
            # A model that does not fit into memory ends FaceFusion.
            step.crash()
        target = Target(args["target_path"], self.workflow.probe(step))
        self.workflow.filter(step, target)
        if step.fault == "refused":
            return REFUSED
        return self.workflow.process(step, target, args["output_path"])
