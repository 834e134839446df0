// The sign-in page in a real browser, against the development provider: a web game, a native game, a device without a browser.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { startBrowser, visitor } from "./browser.mjs";
import { SERVER_KEY, freshName } from "./support.mjs";

const SERVER = `http://${process.env.SDK_SERVER}`;
const PROVIDER = `http://${process.env.SDK_PROVIDER}`;
const WEB_GAME = process.env.SDK_WEB_GAME;
// The page of game.html: the whole of what a web game does for its sign-in.
const GAME = `${WEB_GAME}?server=${encodeURIComponent(SERVER)}`;
const BASIC = `Basic ${Buffer.from(`${SERVER_KEY}:`).toString("base64")}`;
const PATIENCE_MS = 15_000;

let browser;
before(async () => {
  browser = await startBrowser();
});
after(() => browser?.close());

async function giveName(page, name) {
  await page.waitForURL(`${PROVIDER}/authorize?**`);
  await page.getByLabel("Name").fill(name);
  await page.getByRole("button", { name: "Sign in" }).click();
}

async function account(token) {
  const answer = await fetch(`${SERVER}/v2/account`, { headers: { authorization: `Bearer ${token}` } });
  return { status: answer.status, ...(await answer.json()) };
}

function post(path, body) {
  const headers = { authorization: BASIC, "content-type": "application/json" };
  return fetch(`${SERVER}${path}`, { method: "POST", headers, body: JSON.stringify(body) });
}

function opens(token) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${SERVER.replace("http", "ws")}/ws?format=json&token=${token}`);
    socket.once("open", () => resolve(socket.close()));
    socket.once("error", reject);
  });
}

test("a web game signs its player in and plays", { timeout: 60_000 }, async () => {
  const { context, page, visited, faults } = await visitor(browser);
  await page.goto(GAME);
  await giveName(page, freshName("web"));
  await page.getByText("playing").waitFor({ timeout: PATIENCE_MS });
  assert.equal(page.url(), WEB_GAME, "nothing of the sign-in stays in the address");
  assert.deepEqual(visited.filter((url) => /[?&#](token|refresh_token|id_token)=/.test(url)), []);
  assert.ok(visited.some((url) => url.startsWith(`${SERVER}/bridge/callback?`)));
  const cookies = (await context.cookies()).filter((cookie) => cookie.name.includes("kizuna"));
  assert.deepEqual(cookies, [], "the cookie went with the sign-in");
  assert.deepEqual(faults, []);
  await context.close();
});

test("the cookie of a sign-in is out of reach for scripts", { timeout: 60_000 }, async () => {
  const { context, page } = await visitor(browser);
  await page.goto(GAME);
  await page.waitForURL(`${PROVIDER}/authorize?**`);
  const [cookie] = (await context.cookies()).filter((each) => each.name === "kizuna-login");
  assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, "Lax", "/bridge"]);
  await context.close();
});

test("an address from another browser signs nobody in", { timeout: 60_000 }, async () => {
  const [attacker, victim] = [await visitor(browser), await visitor(browser)];
  await attacker.page.goto(GAME);
  await attacker.page.waitForURL(`${PROVIDER}/authorize?**`);
  const body = new URL(attacker.page.url()).searchParams;
  body.set("user", freshName("attacker"));
  const answer = await fetch(`${PROVIDER}/authorize`, { method: "POST", body, redirect: "manual" });
  await victim.page.goto(answer.headers.get("location"));
  await victim.page.getByText("was not begun in this browser").waitFor();
  assert.ok(victim.page.url().startsWith(SERVER), "and leads nowhere");
  await Promise.all([attacker.context.close(), victim.context.close()]);
});

test("a native game gets its player back on a port of its own", { timeout: 60_000 }, async () => {
  const verifier = randomBytes(32).toString("base64url");
  const challenge = createHash("sha256").update(verifier).digest("base64url");
  const listener = createServer();
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const told = new Promise((resolve) => {
    listener.on("request", (request, response) => {
      response.end("You can go back to the game.");
      if (request.url.startsWith("/callback")) resolve(new URL(request.url, "http://127.0.0.1").searchParams);
    });
  });
  const { context, page } = await visitor(browser);
  await page.goto(`${SERVER}/bridge/login?${new URLSearchParams({
    return_to: `http://127.0.0.1:${listener.address().port}/callback`,
    state: "mine",
    code_challenge: challenge,
    code_challenge_method: "S256",
  })}`);
  await giveName(page, freshName("native"));
  const answer = await told;
  assert.equal(answer.get("state"), "mine");
  const session = await (await post("/bridge/session", { code: answer.get("code"), code_verifier: verifier })).json();
  assert.equal((await account(session.token)).status, 200);
  await opens(session.token);
  await context.close();
  listener.close();
  listener.closeAllConnections();
});

test("a device shows a code, and its player signs it in on a phone", { timeout: 90_000 }, async () => {
  const begun = await (await post("/bridge/device_authorization", {})).json();
  const pending = await post("/bridge/session", { device_code: begun.device_code });
  assert.deepEqual([pending.status, (await pending.json()).error], [400, "authorization_pending"]);

  const phone = { viewport: { width: 390, height: 780 }, javaScriptEnabled: false };
  const { context, page, faults } = await visitor(browser, phone);
  await page.goto(begun.verification_uri);
  await page.getByLabel("Code").fill("WRNG-CODE");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("alert").waitFor();
  await page.getByLabel("Code").fill(begun.user_code.toLowerCase());
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByText(begun.user_code).waitFor();
  await picture(page, "device");
  await page.getByRole("button", { name: "Yes, sign in this device" }).click();
  await giveName(page, freshName("device"));
  await page.getByText("You are signed in").waitFor();
  const wide = await page.evaluate("document.documentElement.scrollWidth").catch(() => 390);
  assert.ok(wide <= 390, "the page fits a phone");
  assert.deepEqual(faults.filter((fault) => !fault.includes("404")), []);
  await context.close();

  await new Promise((resolve) => setTimeout(resolve, begun.interval * 1_000));
  const answer = await post("/bridge/session", { device_code: begun.device_code });
  const session = await answer.json();
  assert.equal(answer.status, 200, JSON.stringify(session));
  await opens(session.token);
});

/** With SDK_PICTURES, what the page looks like. */
async function picture(page, name) {
  if (process.env.SDK_PICTURES) await page.screenshot({ path: `${process.env.SDK_PICTURES}/${name}.png` });
}
