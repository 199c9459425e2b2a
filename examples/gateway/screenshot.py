"""Take the picture of the status page that the README shows, of a gateway that runs: `python examples/gateway/screenshot.py docs/gateway.png`."""

from __future__ import annotations

import argparse

CHROMIUM = "/usr/bin/chromium"


def main() -> None:
    """Wait until a machine is in alarm and its curve is drawn, then take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", help="the PNG to write")
    parser.add_argument("--page", default="http://127.0.0.1:8080/", help="the page's address (%(default)s)")
    parser.add_argument(
        "--width", type=int, default=1200, help="of the window in pixels (%(default)s); a phone has 390"
    )
    parser.add_argument("--height", type=int, default=760, help="(%(default)s)")
    parser.add_argument("--dark", action="store_true", help="in the dark colours")
    parser.add_argument("--wait", type=float, default=120.0, help="seconds until an alarm (%(default)s)")
    options = parser.parse_args()

    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(
            viewport={"width": options.width, "height": options.height},
            color_scheme="dark" if options.dark else "light",
            device_scale_factor=1.5,
        )
        page.goto(options.page)
        page.locator(".card.bad .spark").first.wait_for(timeout=options.wait * 1000)
        page.screenshot(path=options.picture)
        browser.close()


if __name__ == "__main__":
    main()
