"""What both versions need to know about a video, and what they pass to ffmpeg for its sound and for joining parts."""

import collections
import os

Metadata = collections.namedtuple("Metadata", "width height fps duration_s frames")
# What a quality of 80 becomes.
ENCODER = ["-c:v", "libx264"]
QUALITY = ["-crf", "10", "-preset", "veryfast"]


def probe(children, path):
    """Two ffprobe children, as in 3.8."""
    always = ["-loglevel", "error"]
    form = ["-of", "default=noprint_wrappers=1", "-i", path]
    stream = ["-select_streams", "v:0", "-show_entries", "stream=width,height,r_frame_rate,color_transfer"]
    _, text = children.run("ffprobe", [*always, *stream, *form])
    _, more = children.run("ffprobe", [*always, "-show_entries", "format=duration,bit_rate", *form])
    entries = dict(line.split("=", 1) for line in (text + more).splitlines())
    numerator, denominator = entries["r_frame_rate"].split("/")
    fps, duration_s = int(numerator) / int(denominator), float(entries["duration"])
    return Metadata(int(entries["width"]), int(entries["height"]), fps, duration_s, round(duration_s * fps))


def temporary(target):
    """The directory of temporary files has the name of the target."""
    name, _ = os.path.splitext(os.path.basename(target))
    return os.path.join(os.environ.get("TMPDIR", "/tmp"), "facefusion", name)


def restore_audio(children, target, video, output, is_faststart):
    file = os.path.join(temporary(target), "temp.mp4")
    arguments = ["-i", file, "-ss", "0.0", "-to", str(video.frames / video.fps), "-i", target]
    arguments += ["-c:v", "copy", "-c:a", "aac", "-q:a", "1.6", "-filter:a", "volume=1.0"]
    arguments += ["-map", "0:v:0", "-map", "1:a:0", "-t", str(video.duration_s)]
    arguments += ["-movflags", "+faststart"] if is_faststart else []
    if children.ffmpeg([*arguments, "-y", output]) != 0:
        # A video without sound. FaceFusion warns and goes on.
        os.rename(file, output)


def concat(children, parts, output, is_faststart):
    listing = output + ".txt"
    with open(listing, "w", encoding="utf-8") as file:
        file.writelines(f"file '{os.path.abspath(part)}'\n" for part in parts)
    arguments = ["-f", "concat", "-safe", "0", "-i", listing, "-c:v", "copy", "-c:a", "copy"]
    arguments += ["-movflags", "+faststart"] if is_faststart else []
    exit_code = children.ffmpeg([*arguments, "-y", os.path.abspath(output)])
    os.remove(listing)
    return exit_code == 0
