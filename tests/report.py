"""report.py RUNS [PICTURES]: opens RUNS/*/report.html in Chromium, and acts and looks as a reader would (tests/report.sh)."""
import base64
import json
import sys
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

most_bytes, most_seconds = 5_000_000, 2
complaints = []


def expect(what, holds, found=""):
    if not holds:
        complaints.append(f"expected {what}" + (f", found {found}" if found != "" else ""))


def browser():
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options)


def open_page(driver, page, width, theme):
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
    driver.get(page.as_uri())
    time.sleep(0.6)


def script(driver, text, *arguments):
    return driver.execute_script(text, *arguments)


# The pixels of a canvas, read from a copy: of one that is read often, browsers complain.
PIXELS = """const c = arguments[0], copy = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
            copy.canvas.width = c.width; copy.canvas.height = c.height; copy.drawImage(c, 0, 0);
            const d = copy.getImageData(0, 0, c.width, c.height).data;"""
# A sum of all of them: another one when another picture is drawn.
PRINT = PIXELS + """let sum = 0; for (let i = 0; i < d.length; ++i) sum = (sum * 31 + d[i]) % 1000000007; return sum;"""


def no_panel_is_empty(driver, name):
    for section in driver.find_elements(By.CSS_SELECTOR, "main section"):
        said = section.get_attribute("innerText").strip()
        expect(f"{name}: something in panel {section.get_attribute('id')}", len(said) > 20, said)
        expect(f"{name}: no placeholder in {section.get_attribute('id')}",
               not any(word in said for word in ("undefined", "NaN", "[object", "Infinity", "null")), said[:300])
    for canvas in driver.find_elements(By.CSS_SELECTOR, "main canvas"):
        drawn = script(driver, PIXELS + "return new Set(new Uint32Array(d.buffer)).size;", canvas)
        label = canvas.get_attribute("aria-label")
        whole = "live" in label  # a layer without a pruned weight has one colour
        expect(f"{name}: something drawn: {label}", drawn > (0 if whole else 3), drawn)


def slider_and_keyboard(driver, name):
    for slider in driver.find_elements(By.ID, "frame"):
        masks = driver.find_elements(By.CSS_SELECTOR, ".mask-list canvas")
        prints = lambda: [script(driver, PRINT, mask) for mask in masks]
        end, said = prints(), driver.find_element(By.CSS_SELECTOR, ".player output").text
        slider.send_keys(Keys.HOME)
        expect(f"{name}: other masks at the slider's other end", prints() != end)
        expect(f"{name}: words that follow the slider", driver.find_element(By.CSS_SELECTOR, ".player output").text != said)
        first = prints()
        slider.send_keys(Keys.ARROW_RIGHT)
        expect(f"{name}: the next mask after the right arrow", prints() != first)
        script(driver, "const s = arguments[0]; window.moved = 0; s.addEventListener('input', () => ++window.moved);", slider)
        driver.find_element(By.ID, "play").send_keys(Keys.ENTER)
        time.sleep(1.5)
        expect(f"{name}: a slider that moves while it plays", script(driver, "return window.moved") > 0)
        if driver.find_element(By.ID, "play").text.startswith("❚"):
            driver.find_element(By.ID, "play").send_keys(Keys.ENTER)
        slider.send_keys(Keys.END)
        expect(f"{name}: the same masks at the end again", prints() == end)


def switches(driver, name):
    curves = driver.find_elements(By.CSS_SELECTOR, "#curves canvas")
    for group in driver.find_elements(By.CSS_SELECTOR, "#curves fieldset"):
        radios = group.find_elements(By.CSS_SELECTOR, "input")
        if len(radios) < 2:
            continue
        before = script(driver, PRINT, curves[0])
        radios[0].send_keys(Keys.ARROW_RIGHT)  # by keyboard
        time.sleep(0.2)
        expect(f"{name}: another curve: {group.text!r}", script(driver, PRINT, curves[0]) != before)
        radios[1].send_keys(Keys.ARROW_LEFT)
    for select in driver.find_elements(By.CSS_SELECTOR, "main select"):
        options = select.find_elements(By.TAG_NAME, "option")
        canvases = select.find_elements(By.XPATH, "./ancestor::section//div[contains(@class,'chart')]//canvas")
        before = [script(driver, PRINT, canvas) for canvas in canvases]
        options[-1].click()
        time.sleep(0.2)
        expect(f"{name}: another chart for {options[-1].text!r}",
               [script(driver, PRINT, canvas) for canvas in canvases] != before)
    for summary in driver.find_elements(By.CSS_SELECTOR, "main summary"):
        script(driver, "arguments[0].click()", summary)
    time.sleep(0.2)
    for details in driver.find_elements(By.CSS_SELECTOR, "main details"):
        expect(f"{name}: something behind {details.text[:20]!r}", len(details.text) > 40, details.text)


def theme(driver, name):
    ground = lambda: script(driver, "return getComputedStyle(document.body).backgroundColor")
    before = ground()
    driver.find_element(By.ID, "theme").click()
    other = ground()
    expect(f"{name}: another ground in the other theme", other != before, other)
    driver.find_element(By.TAG_NAME, "body").send_keys("t")
    expect(f"{name}: the first theme again after the key t", ground() == before)
    script(driver, "localStorage.clear()")


def comparison(driver, name, page):
    """Of a sweep: every method, structure and control is a curve, each seed of the dense network stands in it once."""
    plan = page.parent / "sweep.json"
    panels = driver.find_elements(By.ID, "pareto")
    if not plan.exists() or not panels:
        return
    runs = json.loads(plan.read_text()).get("runs", [])
    expect(f"{name}: a comparison of {len(runs)} runs", len(runs) > 1)
    rows = [row.split("\t") for row in panels[0].get_attribute("innerText").splitlines() if "\t" in row]
    titles = {row[0] for row in rows}
    for run in runs:
        method = run["name"].split("-")[0]
        expect(f"{name}: a row for {method}", any(title.startswith(method) for title in titles), titles)
        if "fan-in" in run["name"]:
            expect(f"{name}: a row for {method} with fan-in", f"{method}, fan-in" in titles, titles)
    seeds = {run["name"].rsplit("-", 1)[1] for run in runs}
    dense = [row for row in rows if row[0] == "dense"]
    expect(f"{name}: one row of the dense network, of {len(seeds)} seeds", [row[2] for row in dense] == [str(len(seeds))], dense)
    expect(f"{name}: all times measured", "not timed" not in panels[0].get_attribute("innerText"))


def little_time_for_events(name, page):
    result = page.parent / "result.json"
    if name == "long":
        sparse = json.loads(result.read_text())["sparse"]
        share = sparse["event_seconds"] / sparse["train_seconds"]
        expect(f"{name}: less than 1 % of the training for the page", share < 0.01, f"{100 * share:.2f} %")
        lines = (page.parent / "metrics.jsonl").read_text().splitlines()
        prunings = sum("pruned_at_step" in line and '"side":"sparse"' in line for line in lines)
        expect(f"{name}: a hundred prunings", prunings >= 100, prunings)
        print(f"  {name}: {prunings} prunings, {100 * share:.2f} % of the training for the page")


def quiet(driver, name):
    for entry in driver.get_log("browser"):
        complaints.append(f"{name}: expected a silent console, found {entry['message'][:300]}")
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            expect(f"{name}: no request but for the page", url.startswith(("file:", "data:", "blob:")), url)


def picture(driver, file):
    width, height = script(driver, "return [innerWidth, document.documentElement.scrollHeight]")
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {
        "captureBeyondViewport": True, "clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}})
    file.write_bytes(base64.b64decode(taken["data"]))


def look_at(driver, page, pictures):
    name = page.parent.name
    expect(f"{name}: a page of at most {most_bytes} bytes", page.stat().st_size <= most_bytes, page.stat().st_size)
    for width in (1280, 390):
        for colours in ("light", "dark"):
            open_page(driver, page, width, colours)
            wide = script(driver, "return document.documentElement.scrollWidth")
            expect(f"{name}: a page of {width} pixels, no wider", wide <= width, wide)
            took = script(driver, "const t = performance.getEntriesByType('navigation')[0]; return t.loadEventEnd / 1000")
            expect(f"{name}: open in {most_seconds} s", took < most_seconds, took)
            no_panel_is_empty(driver, f"{name}, {width}, {colours}")
            if pictures:
                picture(driver, pictures / f"{name}-{width}-{colours}.png")
    theme(driver, name)
    slider_and_keyboard(driver, name)
    switches(driver, name)
    comparison(driver, name, page)
    little_time_for_events(name, page)
    quiet(driver, name)
    print(f"  {name:<12} {page.stat().st_size / 1e6:.2f} MB, open in {took:.2f} s, panels: "
          + ", ".join(s.get_attribute("id") for s in driver.find_elements(By.CSS_SELECTOR, "main section")))


def main():
    pages = sorted(Path(sys.argv[1]).resolve().glob("*/report.html"))
    pictures = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    expect("pages", pages)
    driver = browser()
    try:
        for page in pages:
            look_at(driver, page, pictures)
    finally:
        driver.quit()
    for complaint in complaints:
        print(f"report.py: {complaint}", file=sys.stderr)
    print("report.py: failed" if complaints else f"report.py: {len(pages)} pages passed")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
