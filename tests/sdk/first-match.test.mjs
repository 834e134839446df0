import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import test from "node:test";
import { promisify } from "node:util";

test("the README's first session runs as it stands there", async () => {
  const script = new URL("first-match.mjs", import.meta.url).pathname;
  const { stdout } = await promisify(execFile)(process.execPath, [script], { timeout: 20_000 });
  assert.equal(stdout, "dan meets cleo\ndan hears from cleo: hello\n");
});
