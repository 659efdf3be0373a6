"""A job that publishes its progress: it reads one number per line and publishes their mean.

    seq 1000 | python3 examples/job.py STREAM [PORT]
"""

import json
import socket
import sys

stream, port = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7342

with socket.create_connection(("127.0.0.1", port)) as broker, broker.makefile("rw", encoding="utf-8", newline="\n") as lines:

    def send(action, **keys):
        # NaN and infinity are not JSON: better to fail here than to have the broker refuse the line.
        lines.write(json.dumps({"action": action, "stream": stream, **keys}, allow_nan=False) + "\n")
        lines.flush()

    count, total = 0, 0.0
    status = {"count": 0, "mean": None}
    send("header", message=status)
    for line in sys.stdin:
        count, total = count + 1, total + float(line)
        status = {"count": count, "mean": total / count}
        # Current listeners get it now, and later ones get it first. It is one step, so nobody misses it or gets it twice.
        send("put", message=status, header=status)
    send("close", message={"result": status["mean"]}, receipt="end")
    answer = json.loads(lines.readline())
    print(f"{stream}: {count} numbers; the broker says {answer}")
