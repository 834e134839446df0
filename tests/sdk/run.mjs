// Starts a built server on free ports with the shipped configuration, runs the SDK tests against it, and ends it.
//
//   node run.mjs [FILE...]      KIZUNA_BIN names the binary; target/debug/kizuna if unset
import { spawn } from "node:child_process";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.resolve(HERE, "../..");
const TARGET = process.env.CARGO_TARGET_DIR ?? path.join(ROOT, "target");
const BINARY = path.resolve(process.env.KIZUNA_BIN ?? path.join(TARGET, "debug/kizuna"));
const PARTS = ["http", "metrics", "dev_provider"];
const START_MS = 30_000;
const STOP_MS = 15_000;

/** Everything but KIZUNA_*: the server takes each of those for a configuration key. */
function environment(extra) {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("KIZUNA_"));
  return { ...Object.fromEntries(inherited), ...extra };
}

/** Serves the page of a web game, on a free port: its address, and how to end it. */
async function serveGame() {
  const page = await readFile(path.join(HERE, "game.html"));
  const listener = createServer((request, response) => {
    const known = request.url.startsWith("/play");
    response.writeHead(known ? 200 : 204, { "content-type": "text/html; charset=utf-8" }).end(known ? page : undefined);
  });
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${listener.address().port}/play`, end: () => listener.close() };
}

/** Starts the server and waits until it has said where it listens. */
async function start(dataDir, game, settings = {}) {
  const args = ["serve", "--config", path.join(ROOT, "config.toml"), "--data-dir", dataDir];
  args.push("--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0");
  const server = spawn(BINARY, args, {
    env: environment({
      KIZUNA_DEV_PROVIDER_PORT: "0",
      // The default, as Nakama's, would have each test of the matchmaker wait for 15 seconds.
      KIZUNA_MATCHMAKER_INTERVAL_SEC: "1",
      KIZUNA_LOGIN_RETURN_TO: JSON.stringify([game, "http://127.0.0.1/callback"]),
      ...settings,
    }),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = [];
  const ended = new Promise((resolve) => {
    server.once("error", (error) => resolve({ error }));
    server.once("exit", (status, signal) => resolve({ status, signal }));
  });
  createInterface({ input: server.stderr }).on("line", (line) => log.push(line));
  const addresses = {};
  const listening = new Promise((resolve) => {
    createInterface({ input: server.stdout }).on("line", (line) => {
      log.push(line);
      const said = /^listening (\w+) (\S+)$/.exec(line.trim());
      if (said) addresses[said[1]] = said[2];
      if (PARTS.every((part) => addresses[part])) resolve("listening");
    });
  });
  const outcome = await Promise.race([listening, ended, after(START_MS)]);
  if (outcome !== "listening") {
    server.kill("SIGKILL");
    throw new Error(`${BINARY} did not start: ${describe(outcome)}\n${log.join("\n")}`);
  }
  return { server, ended, addresses, log };
}

/** Asks the server to stop; it must end in time, with status 0. */
async function stop({ server, ended }) {
  server.kill("SIGTERM");
  const outcome = await Promise.race([ended, after(STOP_MS)]);
  if (outcome?.status === 0) return true;
  server.kill("SIGKILL");
  console.error(`the server did not end cleanly on SIGTERM: ${describe(outcome)}`);
  return false;
}

function after(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds).unref());
}

function describe(outcome) {
  return outcome === undefined ? "out of time" : String(outcome.error ?? JSON.stringify(outcome));
}

/** Runs node's own test runner over the files; answers its exit status. */
function runTests(files, addresses, resuming, game) {
  // The SDK leaves its timeouts running after an answer has come; without --test-force-exit each file waits for them.
  const runner = spawn(process.execPath, ["--test", "--test-force-exit", "--test-reporter=spec", ...files], {
    cwd: HERE,
    env: environment({
      SDK_SERVER: addresses.http,
      SDK_PROVIDER: addresses.dev_provider,
      SDK_RESUMING: resuming.http,
      SDK_RESUMING_PROVIDER: resuming.dev_provider,
      SDK_WEB_GAME: game,
    }),
    stdio: ["ignore", "inherit", "inherit"],
  });
  return new Promise((resolve) => runner.once("exit", (status) => resolve(status ?? 1)));
}

async function main() {
  const named = process.argv.slice(2);
  const files = named.length > 0 ? named : (await readdir(HERE)).filter((name) => name.endsWith(".test.mjs")).sort();
  const dataDir = await mkdtemp(path.join(tmpdir(), "kizuna-sdk-"));
  const resumingDir = await mkdtemp(path.join(tmpdir(), "kizuna-sdk-resuming-"));
  const game = await serveGame();
  try {
    const running = await start(dataDir, game.url);
    // Off by default, and some tests are about that: a server of its own for those who come back.
    const resuming = await start(resumingDir, game.url, { KIZUNA_REALTIME_RESUME_WINDOW_MS: "60000" });
    const servers = [running, resuming];
    for (const signal of ["SIGINT", "SIGTERM"]) {
      process.once(signal, () => {
        servers.forEach(({ server }) => server.kill("SIGKILL"));
        process.exit(1);
      });
    }
    const status = await runTests(files, running.addresses, resuming.addresses, game.url);
    const clean = (await Promise.all(servers.map(stop))).every(Boolean);
    if (status !== 0 || !clean) {
      servers.forEach(({ log }) => console.error(`--- a server's log\n${log.slice(-200).join("\n")}`));
    }
    return status === 0 && clean ? 0 : 1;
  } finally {
    game.end();
    await Promise.all([dataDir, resumingDir].map((folder) => rm(folder, { recursive: true, force: true })));
  }
}

process.exitCode = await main().catch((error) => {
  console.error(error.message);
  return 1;
});
