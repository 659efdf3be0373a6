"""The browser of the tests: what is on the page, in words that tests need."""

import json
import tempfile
import time

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains

from served import until

#: Begins before anything of the page: what is against the rules, and what fails.
WITNESS = """
window.seen = [];
addEventListener("securitypolicyviolation", (event) => seen.push(`policy: ${event.violatedDirective} ${event.blockedURI}`));
addEventListener("error", (event) => seen.push(`error: ${event.message ?? event.target?.src}`), true);
addEventListener("unhandledrejection", (event) => seen.push(`rejection: ${event.reason}`));
window.alert = (text) => seen.push(`alert: ${text}`);
"""


class Browser:
    def __init__(self):
        options = Options()
        self._profile = tempfile.TemporaryDirectory(prefix="page-")
        for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
                     "--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--window-size=1440,900", f"--user-data-dir={self._profile.name}"):
            options.add_argument(flag)
        options.binary_location = "/usr/bin/chromium"
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WITNESS})
        self.driver.set_script_timeout(120)

    def open(self, url, theme="light", width=1440, height=900):
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
        self.driver.get("about:blank")
        self.driver.get(url)
        self.live()

    def reload(self):
        self.driver.refresh()
        self.live()

    def live(self):
        until(lambda: self.text(".connection") == "Live", "the page is connected")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, script, *arguments, what=None):
        """Runs a script, which returns a value, until it is true."""
        return until(lambda: self.run(script, *arguments), what or script)

    def module(self, name, script):
        """Runs a script in which ``m`` is a module of the page, and returns what it returns."""
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            f"import(new URL('page/{name}', document.baseURI)).then((m) => {{ {script} }}).then((value) => done({{ value }}), (error) => done({{ error: String(error.stack) }}));"
        )
        assert "error" not in found, found
        return found["value"]

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.textContent ?? null", selector)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].filter((each) => each.checkVisibility()).map((each) => each.textContent)", selector)

    def rows(self):
        """The rows of the list, from the top: what each cell says."""
        return self.run("""return [...document.querySelectorAll(".rows .row:not([hidden])")]
            .sort((a, b) => a.getAttribute("aria-rowindex") - b.getAttribute("aria-rowindex"))
            .map((row) => Object.fromEntries([...row.children].map((cell) => [cell.className, cell.innerText.trim()]).concat([["name", row.querySelector(".name").textContent]])))""")

    def row(self, name):
        return next((row for row in self.rows() if row["name"] == name), None)

    def points(self, name):
        """What a plot draws: [x, y, ...], or None if there is no such plot. A break is None."""
        return self.run("return document.querySelector(`.chart[data-name=${CSS.escape(arguments[0])}]`)?.chart.data ?? null", name)

    def lines(self):
        """The lines of the tail that are in view."""
        return self.run("""return [...document.querySelectorAll(".lines .line:not([hidden])")]
            .sort((a, b) => new DOMMatrix(getComputedStyle(a).transform).m42 - new DOMMatrix(getComputedStyle(b).transform).m42).map((line) => line.querySelector(".text").textContent)""")

    def press(self, *keys):
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def click(self, selector):
        self.run("document.querySelector(arguments[0]).click()", selector)

    def shot(self, path):
        # What moves has come to rest.
        time.sleep(0.4)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(path))

    def complaints(self):
        """What was against the policy, or failed."""
        seen = self.run("return window.seen") or []
        logged = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        # That a broker is away is what some tests are about.
        return seen + [message for message in logged if "WebSocket" not in message and "/ws" not in message]

    def close(self):
        self.driver.quit()
        self._profile.cleanup()


def shown(value):
    return json.dumps(value, ensure_ascii=False)
