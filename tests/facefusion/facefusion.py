"""Plays FaceFusion: a process that looks like it from outside, with its job files, threads and ffmpeg children.

Usage: facefusion.py run|headless-run [--jobs-path PATH] [--config-path PATH] [--target-path PATH] …

It plays the actions of a scenario (JSON, in the file that FACEFUSION_SCENARIO names) and logs what really happens to the
file that FACEFUSION_LOG names. With `run` the process stays, as the user interface does. An endless scenario is played again
and again. Unknown options are ignored.
"""

import argparse
import configparser
import json
import os
import signal
import sys

from facefusion.events import Log
from facefusion.jobs import Jobs
from facefusion.player import Player


def configured_jobs_path(file):
    ini = configparser.ConfigParser()
    ini.read(file, encoding="utf-8")
    return ini.get("paths", "jobs_path", fallback="").strip() or ".jobs"


def main():
    options = argparse.ArgumentParser()
    options.add_argument("command", choices=["run", "headless-run"])
    options.add_argument("--config-path", default="facefusion.ini")
    options.add_argument("--jobs-path")
    options.add_argument("--target-path")
    given, _ = options.parse_known_args()
    with open(os.environ["FACEFUSION_SCENARIO"], encoding="utf-8") as file:
        scenario = json.load(file)
    log = Log(os.environ["FACEFUSION_LOG"])
    jobs = Jobs(given.jobs_path or configured_jobs_path(given.config_path), scenario.get("slow_write_s", 0), log)
    player = Player(scenario, jobs, log)
    log.write("scenario_begins", version=scenario["version"], command=given.command)
    if given.command == "headless-run":
        step = dict(scenario["headless"])
        if given.target_path:
            step["target"] = given.target_path
        is_done = player.instant("headless", step)
        log.write("scenario_ends")
        sys.exit(0 if is_done else 1)
    player.play(scenario["actions"])
    while scenario.get("is_endless"):
        # Only the current round stays in the log, which would fill the disk.
        log.clear()
        player.play(scenario["actions"])
    log.write("scenario_ends")
    signal.pause()


main()
