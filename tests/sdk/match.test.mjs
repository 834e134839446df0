// Matches through the SDK's socket, for every pairing of its two formats.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FORMATS, client, freshName, openSocket, player, signIn } from "./support.mjs";

const text = (data) => Buffer.from(data.data).toString();

/** Players in one match, each aware of all; the first made it. */
async function match(...formats) {
  const players = await Promise.all(formats.map((format) => player(format)));
  const { match_id } = await players[0].socket.createMatch();
  for (const [index, one] of players.entries()) {
    if (index > 0) one.match = await one.socket.joinMatch(match_id);
    await Promise.all(players.slice(0, index + 1).map((other) => other.joined(match_id, one)));
  }
  return { match_id, players, end: () => players.forEach((one) => one.goodbye()) };
}

for (const format of FORMATS) {
  test(`${format}: the maker of a match is alone in it`, async () => {
    const maker = await player(format);
    const made = await maker.socket.createMatch();
    assert.match(made.match_id, /^[0-9a-f-]{36}\.$/);
    assert.equal(made.size, 1);
    assert.deepEqual(made.presences ?? [], []);
    assert.equal(made.self.user_id, maker.session.user_id);
    assert.equal(made.self.username, maker.user);
    await maker.joined(made.match_id, maker);
    maker.goodbye();
  });

  test(`${format}: a match that is not there cannot be joined`, async () => {
    const one = await player(format);
    const missing = one.socket.joinMatch("00000000-0000-4000-8000-000000000000.");
    await assert.rejects(missing, { code: 4, message: "Match not found" });
    await assert.rejects(one.socket.joinMatch("nonsense"), { code: 3, message: "Invalid match ID" });
    one.goodbye();
  });

  test(`${format}: a function that does not exist is an error, not the end of the socket`, async () => {
    const one = await player(format);
    const missing = one.socket.rpc("no_such_function", "{}");
    await assert.rejects(missing, { code: 6, message: "RPC function not found" });
    assert.ok((await one.socket.createMatch()).match_id);
    one.goodbye();
  });

  test(`${format}: a session token that was changed opens no socket`, async () => {
    const { session } = await signIn();
    await assert.rejects(openSocket({ token: `${session.token.slice(0, -4)}AAAA` }, format));
  });
}

// Over JSON only: the SDK's protobuf adapter leaves the name out.
test("a match made with a name is one match for all who say it", async () => {
  const [one, other] = [await player("json"), await player("json")];
  const name = freshName("arena");
  const [first, second] = [await one.socket.createMatch(name), await other.socket.createMatch(name)];
  assert.equal(second.match_id, first.match_id);
  assert.deepEqual(second.presences.map(({ user_id }) => user_id), [one.session.user_id]);
  await one.joined(first.match_id, other);
  [one, other].forEach((each) => each.goodbye());
});

for (const [maker, joiner] of [["json", "json"], ["protobuf", "protobuf"], ["json", "protobuf"], ["protobuf", "json"]]) {
  const pairing = `${maker} and ${joiner}`;

  test(`${pairing}: two players meet, and each knows of both`, async () => {
    const { match_id, players, end } = await match(maker, joiner);
    const [one, other] = players;
    assert.deepEqual(other.match.presences.map(({ user_id }) => user_id), [one.session.user_id]);
    assert.equal(other.match.self.user_id, other.session.user_id);
    assert.equal(other.match.match_id, match_id);
    end();
  });

  test(`${pairing}: data goes both ways, byte for byte and in order`, async () => {
    const { match_id, players, end } = await match(maker, joiner);
    for (const [from, to] of [players, [...players].reverse()]) {
      const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte);
      await from.socket.sendMatchState(match_id, 7, everyByte);
      const data = await to.received(7);
      assert.deepEqual(Buffer.from(data.data), Buffer.from(everyByte));
      assert.equal(data.match_id, match_id);
      assert.equal(data.presence.user_id, from.session.user_id);
      for (let n = 0; n < 100; n += 1) await from.socket.sendMatchState(match_id, 8, `${n}`);
      await from.socket.sendMatchState(match_id, 9, "last", [], true);
      assert.equal(text(await to.received(9)), "last");
      const counted = to.seen("data").filter(({ op_code }) => op_code === 8).map(text);
      assert.deepEqual(counted, Array.from({ length: 100 }, (_, n) => `${n}`));
      assert.deepEqual(from.seen("data").filter(({ op_code }) => op_code > 6), [], "nobody hears himself");
      players.forEach((each) => each.forget());
    }
    end();
  });

  test(`${pairing}: data without op code or payload arrives too`, async () => {
    const { match_id, players, end } = await match(maker, joiner);
    await players[0].socket.sendMatchState(match_id, 0, "");
    const data = await players[1].until("data", () => true, "the empty message");
    assert.ok(!data.op_code);
    assert.equal(data.data?.length ?? 0, 0);
    end();
  });

  test(`${pairing}: data for one player reaches that player only`, async () => {
    const { match_id, players, end } = await match(maker, joiner, maker);
    const [from, to, bystander] = players;
    const { joins } = await from.joined(match_id, to);
    const target = joins.filter(({ user_id }) => user_id === to.session.user_id);
    await from.socket.sendMatchState(match_id, 1, "for you", target);
    await from.socket.sendMatchState(match_id, 2, "for all");
    assert.equal(text(await to.received(1)), "for you");
    await bystander.received(2);
    assert.deepEqual(bystander.seen("data").map(({ op_code }) => op_code), [2]);
    end();
  });

  test(`${pairing}: a player leaves and comes back`, async () => {
    const { match_id, players, end } = await match(maker, joiner);
    const [one, other] = players;
    await other.socket.leaveMatch(match_id);
    await one.left(match_id, other);
    players.forEach((each) => each.forget());
    await one.socket.sendMatchState(match_id, 3, "to nobody");
    // Data is not answered, this is; requests of one socket are served in order, so the data has gone where it goes.
    await one.socket.joinMatch(match_id);
    const again = await other.socket.joinMatch(match_id);
    assert.deepEqual(again.presences.map(({ user_id }) => user_id), [one.session.user_id]);
    await Promise.all(players.map((each) => each.joined(match_id, other)));
    assert.deepEqual(other.seen("data"), [], "what was said meanwhile is not heard");
    end();
  });

  test(`${pairing}: joining a match that one is in changes nothing`, async () => {
    const { match_id, players, end } = await match(maker, joiner);
    const [one, other] = players;
    players.forEach((each) => each.forget());
    const again = await other.socket.joinMatch(match_id);
    assert.equal(again.size, 2);
    await other.socket.sendMatchState(match_id, 4, "after");
    await one.received(4);
    assert.deepEqual(one.seen("presence"), []);
    end();
  });

  test(`${pairing}: a player who is lost without goodbye has left for the other`, async () => {
    const { match_id, players, end } = await match(maker, joiner);
    const [one, other] = players;
    other.loseTheLine();
    await one.left(match_id, other);
    await other.until("disconnect", () => true, "the end of the line");
    const back = await openSocket(other.session, joiner);
    const match_again = await back.joinMatch(match_id);
    assert.deepEqual(match_again.presences.map(({ user_id }) => user_id), [one.session.user_id]);
    back.disconnect(false);
    end();
  });
}

test("a running match is listed with its size until the last player is gone", async () => {
  const { match_id, players } = await match("json", "protobuf");
  const observer = (await signIn()).session;
  const listed = async () => {
    const { matches = [] } = await client().listMatches(observer, 100, false);
    return matches.find((entry) => entry.match_id === match_id);
  };
  const entry = await listed();
  assert.equal(entry.size, 2);
  assert.ok(!entry.authoritative);
  const [one, other] = players;
  other.goodbye();
  await one.left(match_id, other);
  assert.equal((await listed()).size, 1);
  await one.socket.leaveMatch(match_id);
  assert.equal(await listed(), undefined);
  one.goodbye();
});
