// Parties through the SDK's socket, for every pairing of its two formats. The SDK's protobuf adapter (1.4.0) knows the message
// `party` as it was before `hidden` became its third field: of what follows it makes nonsense, also with Nakama 3.40. So players
// on protobuf are asked for no more of it than its id and whether the party is open.
import assert from "node:assert/strict";
import { test } from "node:test";
import { freshName, player } from "./support.mjs";

const userIds = (presences) => (presences ?? []).map(({ user_id }) => user_id);
const is = (one) => (presence) => presence?.user_id === one.session.user_id;

/** Waits until `one` was told that `other` came. */
const joined = (one, other) =>
  one.until("partypresence", (event) => event.joins?.some(is(other)), `the join of ${other.user}`);
const left = (one, other) =>
  one.until("partypresence", (event) => event.leaves?.some(is(other)), `the leave of ${other.user}`);
const led = (one, leader) => one.until("partyleader", ({ presence }) => is(leader)(presence), `${leader.user} to lead`);

/** Players in one open party, each aware of all; the first made it. */
async function party(...formats) {
  const players = await Promise.all(formats.map((format) => player(format)));
  const { party_id } = await players[0].socket.createParty(true, players.length);
  for (const [index, one] of players.entries()) {
    if (index > 0) await one.socket.joinParty(party_id);
    await Promise.all(players.slice(0, index + 1).map((other) => joined(other, one)));
  }
  return { party_id, players, end: () => players.forEach((one) => one.goodbye()) };
}

/** A player's presence, as the others are told it. */
async function presence(one) {
  const { joins } = await joined(one, one);
  return joins.find(is(one));
}

for (const [maker, joiner] of [["json", "json"], ["protobuf", "protobuf"], ["json", "protobuf"], ["protobuf", "json"]]) {
  const pairing = `${maker} and ${joiner}`;

  test(`${pairing}: an open party takes in who asks`, async () => {
    const [one, other] = [await player(maker), await player(joiner)];
    const made = await one.socket.createParty(true, 2);
    assert.match(made.party_id, /^[0-9a-f-]{36}\..+$/);
    assert.equal(made.open, true);
    if (maker === "json") {
      assert.equal(made.max_size, 2);
      assert.ok(is(one)(made.self) && is(one)(made.leader));
      assert.deepEqual(userIds(made.presences), [one.session.user_id]);
    }
    await other.socket.joinParty(made.party_id);
    const shown = await other.until("party", () => true, "the party");
    assert.deepEqual([shown.party_id, shown.open], [made.party_id, true]);
    if (joiner === "json") {
      assert.deepEqual(userIds(shown.presences), [one.session.user_id, other.session.user_id]);
      assert.ok(is(other)(shown.self) && is(one)(shown.leader));
    }
    await Promise.all([one, other].map((each) => joined(each, other)));
    const third = await player(joiner);
    const full = third.socket.joinParty(made.party_id);
    await assert.rejects(full, { code: 3, message: "Error joining party: party full" });
    [one, other, third].forEach((each) => each.goodbye());
  });

  test(`${pairing}: a closed party asks its leader`, async () => {
    const [one, other, third] = [await player(maker), await player(joiner), await player(maker)];
    const { party_id } = await one.socket.createParty(false, 3);
    for (const asking of [other, third]) {
      await asking.socket.joinParty(party_id);
      await one.until("partyjoinrequest", ({ presences }) => presences.some(is(asking)), `${asking.user} to ask`);
    }
    const { presences } = await one.socket.listPartyJoinRequests(party_id);
    assert.deepEqual(userIds(presences), [other.session.user_id, third.session.user_id]);
    await one.socket.acceptPartyMember(party_id, presences[0]);
    await Promise.all([one, other].map((each) => joined(each, other)));
    await one.socket.removePartyMember(party_id, presences[1]);
    assert.deepEqual(userIds((await one.socket.listPartyJoinRequests(party_id)).presences), []);
    assert.deepEqual(third.seen("party"), []);
    [one, other, third].forEach((each) => each.goodbye());
  });

  test(`${pairing}: data goes to the others, byte for byte`, async () => {
    const { party_id, players, end } = await party(maker, joiner, joiner);
    const everyByte = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    await players[1].socket.sendPartyData(party_id, 7, everyByte);
    for (const one of [players[0], players[2]]) {
      const data = await one.until("partydata", ({ op_code }) => Number(op_code) === 7, "the data");
      assert.deepEqual(Buffer.from(data.data), Buffer.from(everyByte));
      assert.equal(data.party_id, party_id);
      assert.ok(is(players[1])(data.presence));
    }
    assert.deepEqual(players[1].seen("partydata"), []);
    end();
  });

  test(`${pairing}: who leads changes hands by promotion, leave and loss`, async () => {
    const { party_id, players, end } = await party(maker, joiner, maker);
    const [one, other, third] = players;
    await one.socket.promotePartyMember(party_id, await presence(other));
    await Promise.all(players.map((each) => led(each, other)));
    const again = one.socket.promotePartyMember(party_id, await presence(one));
    await assert.rejects(again, { code: 3, message: "Error promoting new party leader: party leader only" });
    await other.socket.leaveParty(party_id);
    await Promise.all([one, third].map((each) => led(each, one)));
    await Promise.all([one, third].map((each) => left(each, other)));
    third.forget();
    one.loseTheLine();
    await led(third, third);
    await left(third, one);
    await third.socket.closeParty(party_id);
    await third.until("partyclose", (closed) => closed.party_id === party_id, "the close");
    await assert.rejects(other.socket.joinParty(party_id), { code: 3, message: "Error joining party: party not found" });
    end();
  });

  test(`${pairing}: a removed member hears that the party is closed`, async () => {
    const { party_id, players, end } = await party(maker, joiner);
    const [one, other] = players;
    await one.socket.removePartyMember(party_id, await presence(other));
    await other.until("partyclose", (closed) => closed.party_id === party_id, "the close");
    await left(one, other);
    end();
  });

  test(`${pairing}: a party's ticket is told to all, and taken back`, async () => {
    const { party_id, players, end } = await party(maker, joiner);
    const [one, other] = players;
    const nobody = `+properties.mode:${freshName("mode")}`;
    const { ticket } = await one.socket.addMatchmakerParty(party_id, nobody, 3, 4, { region: "eu" }, { rank: 2 });
    await other.until("partymatchmakerticket", (told) => told.ticket === ticket, "the ticket");
    const foreign = other.socket.removeMatchmakerParty(party_id, ticket);
    await assert.rejects(foreign, { code: 3, message: "Error closing party: party leader only" });
    await one.socket.removeMatchmakerParty(party_id, ticket);
    const again = one.socket.removeMatchmakerParty(party_id, ticket);
    await assert.rejects(again, { code: 3, message: "Error closing party: matchmaker ticket not found" });
    end();
  });
}

test("parties are listed by label, page by page", async () => {
  const one = await player("json");
  const mode = freshName("mode").replaceAll("-", "");
  // The SDK's own call has no label.
  const made = [];
  for (const level of [1, 2, 3]) {
    const label = JSON.stringify({ mode, level });
    made.push((await one.socket.send({ party_create: { open: level > 1, max_size: 4, label } })).party.party_id);
  }
  // Nor has it one that lists.
  const list = async (parameters) => {
    const query = new URLSearchParams({ query: `+label.mode:${mode}`, ...parameters });
    const headers = { authorization: `Bearer ${one.session.token}` };
    const page = await (await fetch(`http://${process.env.SDK_SERVER}/v2/party?${query}`, { headers })).json();
    return { ...page, ids: (page.parties ?? []).map(({ party_id }) => party_id) };
  };
  assert.deepEqual((await list({})).ids, made);
  assert.deepEqual((await list({ query: `+label.mode:${mode} +label.level:>1` })).ids, made.slice(1));
  assert.deepEqual((await list({ open: false })).ids, made.slice(0, 1));
  const { ids, cursor } = await list({ limit: 2 });
  assert.deepEqual(ids, made.slice(0, 2));
  assert.deepEqual((await list({ limit: 2, cursor })).ids, made.slice(2));
  one.goodbye();
});
