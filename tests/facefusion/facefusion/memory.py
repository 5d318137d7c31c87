"""The workflow of 3.8: a reader ffmpeg sends frames through a pipe, a writer ffmpeg receives them.

Readers stay open, one per use, until the sound has been restored. One of them has sent a single frame and waits.
"""

import concurrent.futures
import itertools
import os
import shutil
import threading
import time

from facefusion import video
from facefusion.step import STOPPED


class Reader:
    def __init__(self, children, path, metadata):
        arguments = ["-ss", "0.0", "-i", path, "-vsync", "0", "-pix_fmt", "bgr24", "-f", "rawvideo", "-"]
        self.child = children.open_ffmpeg(arguments)
        self.last = bytes(metadata.width * metadata.height * 3)

    def read(self):
        """The next frame. After the end it is the last one again: the sound may be longer than the pictures."""
        frame = self.child.process.stdout.read(len(self.last))
        if len(frame) == len(self.last):
            self.last = frame
        return self.last


class MemoryWorkflow:
    def __init__(self, children, log, threads):
        self.children, self.log, self.threads = children, log, threads
        self.probed, self.filtered, self.readers = {}, set(), {}

    def probe(self, step):
        path = step.settings["target"]
        if path not in self.probed:
            with step.phase("probe"):
                self.probed[path] = video.probe(self.children, path)
        return self.probed[path]

    def filter(self, step, target):
        """Reads the whole video, and looks at one frame per second of it."""
        if target.path in self.filtered:
            return
        with step.phase("content_filter"):
            reader = self._reader("filter", target)
            seconds = -(-target.video.frames // int(target.video.fps))
            for number in range(target.video.frames):
                reader.read()
                if number % int(target.video.fps) == 0:
                    time.sleep(step.settings["filter_s"] / seconds)
        self.filtered.add(target.path)

    def process(self, step, target, output):
        shutil.rmtree(target.temporary, ignore_errors=True)
        os.makedirs(target.temporary)
        with step.phase("process"):
            writer = self._writer(step, target)
            self._reader("reference", target).read()
            self._process_frames(step, target, writer)
            if step.fault == "writer_killed":
                writer.process.kill()
            writer.process.stdin.close()
            exit_code = writer.wait()
        if exit_code != 0 or step.is_stopping:
            # FaceFusion stops the job itself if its writer has failed.
            return STOPPED
        with step.phase("probe"):
            duration_s = video.probe(self.children, os.path.join(target.temporary, "temp.mp4")).duration_s
        with step.phase("audio"):
            measured = target.video._replace(duration_s=duration_s)
            video.restore_audio(self.children, target.path, measured, output, True)
        self.close_readers()
        shutil.rmtree(target.temporary)
        return 0

    def close_readers(self):
        for reader in self.readers.values():
            reader.child.kill()
        self.readers.clear()

    def _reader(self, use, target):
        """Starts a reader. One that has read beyond the wanted frame is replaced."""
        if (use, target.path) in self.readers:
            self.readers[use, target.path].child.kill()
        reader = self.readers[use, target.path] = Reader(self.children, target.path, target.video)
        return reader

    def _writer(self, step, target):
        size, fps = f"{target.video.width}x{target.video.height}", str(target.video.fps)
        # A writer that cannot open its encoder exits at once.
        encoder = ["-c:v", "h264_missing"] if step.fault == "writer_dies" else video.ENCODER
        arguments = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", size, "-r", fps, "-i", "pipe:0"]
        arguments += ["-s", size, *encoder, "-threads", "16", *video.QUALITY]
        colors = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709"
        arguments += ["-vf", f"fps={fps},scale=out_color_matrix=bt709:out_range=tv,{colors}"]
        arguments += ["-pix_fmt", "yuv420p", "-y", os.path.join(target.temporary, "temp.mp4")]
        return self.children.open_ffmpeg(arguments)

    def _process_frames(self, step, target, writer):
        total, lock, count = target.video.frames, threading.Lock(), itertools.count()
        reader = self._reader("select", target)
        frames = {next(count): reader.read()}
        # The rate is steady from the first frame on.
        begins = time.monotonic()

        def process(number):
            with lock:
                while number not in frames:
                    frames[next(count)] = reader.read()
                frame = frames.pop(number)
            # Each of the threads works on a frame for several frames' time.
            time.sleep(max(0, begins + (number + 1) / step.settings["rate_fps"] - time.monotonic()))
            return frame

        with concurrent.futures.ThreadPoolExecutor(self.threads) as executor:
            futures = [executor.submit(process, number) for number in range(total)]
            try:
                for number, future in enumerate(futures):
                    if step.is_stopping:
                        break
                    # Written at once: a frame is larger than the buffer of the pipe.
                    writer.process.stdin.write(future.result())
                    step.frame(number, total)
            finally:
                executor.shutdown(wait=False, cancel_futures=True)
