"""The browser that all tests of the site drive."""

import pytest
from browsing import browser_path
from icl_chromium import FLAGS
from playwright.sync_api import sync_playwright


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), headless=True, args=FLAGS)
        yield browser
        browser.close()
