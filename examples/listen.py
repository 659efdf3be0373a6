"""Shows a stream until it ends: python3 examples/listen.py STREAM [PORT]"""

import json
import socket
import sys

stream, port = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7342

with socket.create_connection(("127.0.0.1", port)) as broker, broker.makefile("rw", encoding="utf-8", newline="\n") as lines:
    lines.write(json.dumps({"action": "listen", "stream": stream, "receipt": "joined"}) + "\n")
    lines.flush()
    for line in lines:
        event = json.loads(line)
        if event["action"] == "put":
            print(json.dumps(event["message"]), flush=True)
        elif event["action"] == "receipt":
            if event["state"] != "ended":  # The end itself comes next.
                print(f"{stream} is {event['state']}", flush=True)
        elif event["action"] == "close" and "stream" in event:
            print(f"{stream} has ended:", json.dumps(event.get("message")), flush=True)
            break
        else:
            sys.exit(f"the broker says: {line.strip()}")
    else:
        sys.exit("the connection is lost; the job may go on")
