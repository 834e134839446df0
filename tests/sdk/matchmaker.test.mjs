// The matchmaker through the SDK's socket, in both of its formats. run.mjs has the server pass every second.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FORMATS, player } from "./support.mjs";

/** A player whose matches are kept in the order in which they were told. */
async function searching(format) {
  const one = await player(format);
  one.matches = [];
  one.socket.onmatchmakermatched = (matched) => {
    one.matches.push(matched);
    one.wake?.();
  };
  return one;
}

/** The first match that a player is told of. */
async function matched(one) {
  if (one.matches.length === 0) {
    await new Promise((resolve, reject) => {
      const timer = setTimeout(reject, 8_000, new Error(`${one.user} was matched with nobody`));
      one.wake = () => resolve(clearTimeout(timer));
    });
  }
  return one.matches[0];
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** A word that keeps the tickets of one test to themselves. */
const word = () => `w${Math.random().toString(36).slice(2)}`;

for (const format of FORMATS) {
  test(`${format}: two who fit are matched, and meet by the token`, async () => {
    const [a, b] = await Promise.all([searching(format), searching("json")]);
    const mode = word();
    const query = `+properties.mode:${mode} +properties.rank:>=5`;
    const { ticket } = await a.socket.addMatchmaker(query, 2, 2, { mode, region: "eu" }, { rank: 10 });
    await b.socket.addMatchmaker(query, 2, 2, { mode }, { rank: 7.5 });
    const [of_a, of_b] = [await matched(a), await matched(b)];
    assert.equal(of_a.ticket, ticket);
    assert.ok(!of_a.match_id, "absent, not empty");
    assert.equal(of_a.token, of_b.token);
    assert.equal(of_a.self.presence.user_id, a.session.user_id);
    assert.equal(of_a.self.presence.username, a.user);
    assert.ok(of_a.self.presence.session_id);
    assert.deepEqual({ ...of_a.self.string_properties }, { mode, region: "eu" });
    assert.deepEqual({ ...of_b.self.numeric_properties }, { rank: 7.5 });
    const users = of_a.users.map((user) => user.presence.user_id).sort();
    assert.deepEqual(users, [a.session.user_id, b.session.user_id].sort());
    const first = await a.socket.joinMatch(undefined, of_a.token);
    const second = await b.socket.joinMatch(undefined, of_b.token);
    assert.equal(first.match_id, second.match_id);
    assert.equal(second.presences.length, 1);
    await a.joined(first.match_id, b);
    [a, b].forEach((one) => one.goodbye());
  });

  test(`${format}: who does not fit is left out, and a third one, too`, async () => {
    const all = await Promise.all([1, 2, 3, 4].map(() => searching(format)));
    const mode = word();
    const [a, b, c, d] = all;
    await d.socket.addMatchmaker(`+properties.mode:${word()}`, 2, 2, { mode: word() });
    for (const one of [a, b, c]) await one.socket.addMatchmaker(`+properties.mode:${mode}`, 2, 2, { mode });
    await Promise.any([a, b, c].map(matched));
    await pause(2_500);
    assert.equal([a, b, c].filter((one) => one.matches.length === 1).length, 2);
    assert.equal(d.matches.length, 0);
    all.forEach((one) => one.goodbye());
  });

  test(`${format}: of two to four, two are enough in the end`, async () => {
    const all = await Promise.all([searching(format), searching(format)]);
    const mode = word();
    for (const one of all) await one.socket.addMatchmaker(`+properties.mode:${mode}`, 2, 4, { mode });
    const [first] = await Promise.all(all.map(matched));
    assert.equal(first.users.length, 2);
    all.forEach((one) => one.goodbye());
  });

  test(`${format}: a ticket can be taken back, once`, async () => {
    const [a, b] = await Promise.all([searching(format), searching(format)]);
    const mode = word();
    const { ticket } = await a.socket.addMatchmaker(`+properties.mode:${mode}`, 3, 3, { mode });
    await a.socket.removeMatchmaker(ticket);
    await assert.rejects(a.socket.removeMatchmaker(ticket), { code: 3, message: "Matchmaker ticket not found" });
    await assert.rejects(b.socket.addMatchmaker("+properties.a:b:c", 2, 2), { message: "Error adding to matchmaker" });
    await assert.rejects(b.socket.addMatchmaker("*", 3, 2), {
      code: 3,
      message: "Invalid maximum count, must be >= minimum count",
    });
    [a, b].forEach((one) => one.goodbye());
  });

  test(`${format}: a party and a solo player are matched as three`, async () => {
    const [a, b, c] = await Promise.all([searching(format), searching(format), searching(format)]);
    const mode = word();
    const party = await a.socket.createParty(true, 2);
    const told = new Promise((resolve) => (b.socket.onpartymatchmakerticket = resolve));
    const here = new Promise((resolve) => (a.socket.onpartypresence = (event) => {
      if ((event.joins ?? []).some((join) => join.user_id === b.session.user_id)) resolve();
    }));
    await b.socket.joinParty(party.party_id);
    await here;
    const query = `+properties.mode:${mode}`;
    const { ticket } = await a.socket.addMatchmakerParty(party.party_id, query, 3, 3, { mode });
    await c.socket.addMatchmaker(query, 3, 3, { mode });
    assert.equal((await told).ticket, ticket);
    const [of_a, of_b, of_c] = [await matched(a), await matched(b), await matched(c)];
    assert.deepEqual([of_a.ticket, of_b.ticket, of_c.users.length], [ticket, ticket, 3]);
    assert.equal(of_a.self.party_id, party.party_id);
    assert.ok(!of_c.self.party_id);
    [a, b, c].forEach((one) => one.goodbye());
  });
}
