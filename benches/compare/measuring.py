"""One row, done by one broker: how it is loaded, and how much fills the time."""

import json
import subprocess

import promise

#: How long the broker is loaded, in seconds.
LOADED = 1.5


def bench(generator, broker, row, count=None):
    """One run of the generator against a broker that is up; its report, or what went wrong."""
    address = f"{'tls://' if broker.ca else ''}127.0.0.1:{broker.port}"
    command = [str(generator), "bench", "--json", "--protocol", broker.protocol, "--server", address,
               "--pid", str(broker.pid()), "--timeout", "20s", *row.options]
    if broker.ca:
        command += ["--ca", str(broker.ca)]
    if broker.listeners_port and "--listeners-by" in row.options:
        command += ["--listeners-at", f"127.0.0.1:{broker.listeners_port}"]
    if count:
        command += ["--messages", str(count), "--warmup", str(row.warmup)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        return {"error": "not done after three minutes"}
    if done.returncode != 0:
        return {"error": done.stderr.strip()[-300:] or f"exit code {done.returncode}"}
    return json.loads(done.stdout)


def pilot(generator, broker, row):
    """How many units a second the broker does, from ever longer trials: the shortest ones are all start."""
    count = max(row.pilot // row.listeners, row.warmup, 4)
    while True:
        with broker:
            result = bench(generator, broker, row, count)
        if "error" in result or result["seconds"] > 0.15:
            return result
        count = int(count * min(20, 0.3 / result["seconds"])) + 1


def measure(generator, broker, row, counts, loaded):
    """Starts the broker, and measures one row. The first time, a trial finds how much work fills the time."""
    key = (row.id, broker.name)
    if row.pilot and key not in counts:
        trial = pilot(generator, broker, row)
        if "error" in trial:
            return trial
        counts[key] = max(int(trial["units_per_second"] * loaded / row.listeners), row.warmup, 4)
    with broker:
        return promise.measure(broker, row) if row.work else bench(generator, broker, row, counts.get(key))


def tell(result):
    if "error" in result:
        return f"FAILED: {result['error']}"
    text = f"{result['broker']['us_per_unit']:.3f} us/{result['unit']}, {result['units_per_second']:,.0f}/s"
    if latency := result["latency"]:
        text = f"p50 {latency['p50']:.0f} us, p99 {latency['p99']:.0f} us"
    if memory := result["broker"]["bytes_per_connection"]:
        text = f"{memory:.0f} bytes per connection"
    return text
