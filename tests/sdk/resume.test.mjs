// A broken line in the middle of a match, through the SDK's socket, against a server that keeps sessions for a while. Between the two
// stands a relay, so that the line breaks without a goodbye of either.
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { after, test } from "node:test";

const [HOST, PORT] = process.env.SDK_RESUMING.split(":");
const lines = new Set();
const relay = createServer((near) => {
  const far = connect(PORT, HOST);
  const line = { near, far };
  lines.add(line);
  for (const [from, to] of [[near, far], [far, near]]) {
    from.on("error", () => to.destroy());
    from.on("close", () => {
      lines.delete(line);
      to.destroy();
    });
    from.pipe(to);
  }
});
relay.listen(0, "127.0.0.1");
await once(relay, "listening");
after(() => {
  lines.forEach(({ near }) => near.destroy());
  relay.close();
});

// Before the first import of what the tests share: it reads these when it is loaded.
process.env.SDK_SERVER = `127.0.0.1:${relay.address().port}`;
process.env.SDK_PROVIDER = process.env.SDK_RESUMING_PROVIDER;
const { FORMATS, player } = await import("./support.mjs");

const text = (data) => Buffer.from(data.data).toString();

/** A player, and what breaks the line of its socket. */
async function breakable(format) {
  const before = new Set(lines);
  const one = await player(format);
  const own = [...lines].filter((line) => !before.has(line));
  return { one, breakLine: () => own.forEach(({ near, far }) => [near, far].forEach((end) => end.resetAndDestroy())) };
}

for (const format of FORMATS) {
  test(`${format}: a player whose line breaks comes back into the running match and has missed nothing`, async () => {
    const stays = await player(format);
    const { one: lost, breakLine } = await breakable(format);
    const { match_id } = await stays.socket.createMatch();
    const joined = await lost.socket.joinMatch(match_id);
    await stays.joined(match_id, lost);

    breakLine();
    await lost.until("disconnect", () => true, "the end of the line");
    for (let n = 0; n < 50; n += 1) await stays.socket.sendMatchState(match_id, 1, `${n}`);
    await lost.socket.connect(lost.session, false);
    await stays.socket.sendMatchState(match_id, 2, "after");
    assert.equal(text(await lost.received(2)), "after");
    const missed = lost.seen("data").filter(({ op_code }) => op_code === 1).map(text);
    assert.deepEqual(missed, Array.from({ length: 50 }, (_, n) => `${n}`));

    await lost.socket.sendMatchState(match_id, 3, "here again");
    const heard = await stays.received(3);
    assert.equal(text(heard), "here again");
    assert.equal(heard.presence.session_id, joined.self.session_id, "the same session");
    assert.deepEqual(stays.seen("presence").filter(({ leaves }) => (leaves ?? []).length > 0), [], "nobody has left");
    [stays, lost].forEach((each) => each.goodbye());
  });

  test(`${format}: a player who says goodbye has left`, async () => {
    const stays = await player(format);
    const leaves = await player(format);
    const { match_id } = await stays.socket.createMatch();
    await leaves.socket.joinMatch(match_id);
    await stays.joined(match_id, leaves);
    leaves.goodbye();
    await stays.left(match_id, leaves);
    stays.goodbye();
  });
}
