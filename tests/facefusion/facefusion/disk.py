"""The workflow of 3.5: frames are files. The content filter has no child."""

import concurrent.futures
import glob
import os
import shutil
import subprocess
import time

from facefusion import video


class DiskWorkflow:
    def __init__(self, children, log, threads):
        self.children, self.log, self.threads = children, log, threads
        self.filtered = set()

    def probe(self, step):
        """A library reads the target. The test has measured it before."""
        return video.Metadata(*step.settings["video"])

    def filter(self, step, target):
        if target.path in self.filtered:
            return
        with step.phase("content_filter"):
            with open(target.path, "rb") as file:
                file.read()
            time.sleep(step.settings["filter_s"])
        self.filtered.add(target.path)

    def process(self, step, target, output):
        shutil.rmtree(target.temporary, ignore_errors=True)
        os.makedirs(target.temporary)
        pattern = os.path.join(target.temporary, "%08d.png")
        size = f"{target.video.width}x{target.video.height}"
        with step.phase("extract"):
            source = "broken.mp4" if step.fault == "extract_fails" else target.path
            trim = f"trim=start_frame=0:end_frame={target.video.frames},fps={target.video.fps}"
            arguments = ["-i", source, "-s", size, "-q:v", "0", "-vf", trim, "-vsync", "0", pattern]
            exit_code = self._with_progress(step, arguments, "extract")
        if exit_code != 0:
            return step.stop_code()
        with step.phase("process"):
            self._process_frames(step, target)
        if step.is_stopping:
            return step.stop_code()
        with step.phase("merge"):
            file = os.path.join(target.temporary, "temp.mp4")
            fps = str(target.video.fps)
            arguments = ["-r", fps, "-i", pattern, "-s", size, *video.ENCODER, *video.QUALITY]
            arguments += ["-vf", f"fps={fps}", "-pix_fmt", "yuv420p", "-y", file]
            exit_code = self._with_progress(step, arguments, "merge")
        if exit_code != 0:
            return step.stop_code()
        with step.phase("audio"):
            video.restore_audio(self.children, target.path, target.video, output, False)
        shutil.rmtree(target.temporary)
        return 0

    def _with_progress(self, step, arguments, phase):
        arguments = ["-loglevel", "error", *arguments, "-progress", "-"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        child = self.children.start("ffmpeg", arguments, **pipes)
        if step.fault == f"{phase}_killed":
            child.process.kill()
        for _ in child.process.stdout:
            pass
        return child.wait()

    def _process_frames(self, step, target):
        paths = sorted(glob.glob(os.path.join(target.temporary, "*.png")))
        begins = time.monotonic()

        def process(number):
            # Each of the threads works on a frame for several frames' time.
            time.sleep(max(0, begins + (number + 1) / step.settings["rate_fps"] - time.monotonic()))
            if step.is_stopping:
                return
            with open(paths[number], "rb") as file:
                content = file.read()
            with open(paths[number], "wb") as file:
                file.write(content)
            step.frame(number, len(paths))

        with concurrent.futures.ThreadPoolExecutor(self.threads) as executor:
            list(executor.map(process, range(len(paths))))
