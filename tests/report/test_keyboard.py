"""The report without a mouse: Tab comes by everything that does something, in reading order, and is seen where it is."""

from __future__ import annotations

import pytest

from .test_browser import CHROMIUM, DRIVER, browser, pages

pytestmark = pytest.mark.skipif(not CHROMIUM or not DRIVER, reason="needs Debian's chromium and chromium-driver")
__all__ = ["pages"]

# What does something and can be seen; of radio buttons with one name Tab comes by one, and arrows by the others.
STOPS = """
const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex], [onclick]')]
const shown = all.filter(e => e.tabIndex >= 0 && e.checkVisibility())
window.stops = shown.filter(e => e.type !== 'radio' || e.checked)
return [stops.length, all.length - shown.length, all.filter(e => e.type === 'radio').length]
"""

# Where the focus is: which of the stops, whether it is marked, and whether nothing lies over it.
WHERE = """
const at = document.activeElement
if (at === document.body) return null
const drawn = at.labels?.length ? at.labels[0] : at, style = getComputedStyle(drawn), box = drawn.getBoundingClientRect()
const over = document.elementFromPoint(box.left + Math.min(box.width / 2, 20), box.top + Math.min(box.height / 2, 8))
return {
  stop: stops.indexOf(at), name: (drawn.innerText || at.ariaLabel || '').trim(),
  marked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
  seen: box.top >= 0 && box.bottom <= innerHeight && (over === drawn || drawn.contains(over) || over?.contains(drawn)),
}
"""


@pytest.mark.parametrize("name", ["whole", "shareable"])
def test_tab_comes_by_everything(pages, tmp_path, name):
    with browser(tmp_path / "profile", dark=False) as driver:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        driver.get(pages[name].as_uri())
        driver.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
        for details in driver.find_elements("tag name", "details"):
            driver.execute_script("arguments[0].open = true", details)
        count, hidden, radios = driver.execute_script(STOPS)

        def press(key):
            ActionChains(driver).send_keys(key).perform()
            return driver.execute_script(WHERE)

        walk = [press(Keys.TAB) for _ in range(count)]
        after = press(Keys.TAB)
        held = ActionChains(driver).key_down(Keys.SHIFT)
        held.send_keys(Keys.TAB, Keys.TAB).key_up(Keys.SHIFT).perform()
        back = driver.execute_script(WHERE)
        shown = lambda: driver.execute_script(  # noqa: E731
            "return [...document.querySelectorAll('.card')].filter(e => e.checkVisibility()).length"
        )
        cases = shown()
        chosen = driver.find_elements("css selector", "input[type=radio]:checked")
        if chosen:
            driver.execute_script("arguments[0].focus()", chosen[0])
            ring = [press(Keys.ARROW_RIGHT) for _ in range(radios)]
            seen = (driver.execute_script(WHERE)["name"], shown())
    assert count >= 3
    assert hidden == 0
    assert [place and place["stop"] for place in walk] == list(range(count))  # in the order of the text
    assert [place for place in walk if not (place["marked"] and place["seen"] and place["name"])] == []
    assert after is None  # nothing holds the focus
    assert back["stop"] == count - 2
    if name == "whole":
        assert radios >= 2
        assert len({place["name"] for place in ring}) == radios
        assert all(place["marked"] for place in ring)
        assert seen == ("all", cases)


def test_enter_follows_a_link(pages, tmp_path):
    with browser(tmp_path / "profile", dark=False) as driver:
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        driver.get(pages["whole"].as_uri())
        links = [link.get_attribute("hash") for link in driver.find_elements("css selector", "nav a")]
        ActionChains(driver).send_keys(Keys.TAB, Keys.TAB, Keys.ENTER).perform()
        assert len(links) > 2
        assert driver.execute_script("return location.hash") == links[1]
