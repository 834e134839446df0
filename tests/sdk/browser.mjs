// A real Chromium without a window, with a profile of its own that goes with it. SDK_CHROMIUM names the program.
import { chromium } from "playwright-core";

const PROGRAM = process.env.SDK_CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts the browser; end it with `close()`. */
export function startBrowser() {
  return chromium.launch({ executablePath: PROGRAM, headless: true, args: FLAGS });
}

/** A page of a fresh visitor, and every address that it went to. */
export async function visitor(browser, options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const visited = [];
  page.on("request", (request) => {
    if (request.isNavigationRequest()) visited.push(request.url());
  });
  const faults = [];
  page.on("console", (message) => {
    if (message.type() === "error") faults.push(message.text());
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  return { context, page, visited, faults };
}
