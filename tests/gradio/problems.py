"""Sends jobs to app.py for which there are alerts: jobs that fail, and then one that keeps another one waiting.

Usage: problems.py URL FAIL_S BLOCK_S
"""

import os
import sys
import time

from gradio_client import Client

URL, FAIL_S, BLOCK_S = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])

client = Client(URL, verbose=False)
ends = time.monotonic() + FAIL_S
while time.monotonic() < ends:
    client.submit("fails", 0.2, api_name="/fail_0")
    time.sleep(0.7)
client.submit("blocks", BLOCK_S, api_name="/work_0")
time.sleep(1)
client.submit("waits", 0.1, api_name="/work_0").result()
# The threads of the client never end.
os._exit(0)
