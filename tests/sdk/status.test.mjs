// Status through the SDK's socket, in both of its formats: following, updating, and seeing who comes and goes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FORMATS, client, player } from "./support.mjs";

/** A player whose status events are kept. */
async function watched(format) {
  const one = await player(format);
  one.events = [];
  one.socket.onstatuspresence = (event) => one.events.push(event);
  return one;
}

const texts = (presences, of) =>
  (presences ?? []).filter(({ user_id }) => user_id === of.session.user_id).map(({ status }) => status);

/** Waits until an event of `one` fits. */
async function until(one, fits, what) {
  const deadline = Date.now() + 5_000;
  for (;;) {
    const found = one.events.find(fits);
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}; came: ${JSON.stringify(one.events)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

for (const [one, other] of [["json", "json"], ["protobuf", "protobuf"], ["json", "protobuf"], ["protobuf", "json"]]) {
  test(`${one} and ${other}: a follower sees a status change and end`, async () => {
    const [shown, follower] = [await watched(one), await watched(other)];
    const before = await follower.socket.followUsers([shown.session.user_id]);
    assert.deepEqual(before.presences ?? [], []);
    await shown.socket.updateStatus("in the lobby");
    for (const each of [shown, follower]) {
      await until(each, ({ joins }) => texts(joins, shown).includes("in the lobby"), "the first status");
    }
    await shown.socket.updateStatus("in a match");
    const changed = await until(follower, ({ joins }) => texts(joins, shown).includes("in a match"), "the second");
    assert.deepEqual(texts(changed.leaves, shown), ["in the lobby"]);
    const late = await watched(other);
    const now = await late.socket.followUsers([shown.session.user_id]);
    assert.deepEqual(texts(now.presences, shown), ["in a match"]);
    shown.goodbye();
    for (const each of [follower, late]) {
      await until(each, ({ leaves, joins }) => texts(leaves, shown).includes("in a match") && !joins?.length, "the end");
      each.goodbye();
    }
  });
}

for (const format of FORMATS) {
  test(`${format}: who unfollows hears no more`, async () => {
    const [shown, follower] = [await watched(format), await watched(format)];
    await follower.socket.followUsers([shown.session.user_id]);
    await follower.socket.unfollowUsers([shown.session.user_id]);
    await shown.socket.updateStatus("unseen");
    await until(shown, ({ joins }) => texts(joins, shown).includes("unseen"), "one's own status");
    // The follower's own status is told after the other's would have been.
    await follower.socket.updateStatus("mine");
    await until(follower, ({ joins }) => texts(joins, follower).includes("mine"), "one's own status");
    assert.deepEqual(follower.events.flatMap(({ joins }) => texts(joins, shown)), []);
    [shown, follower].forEach((each) => each.goodbye());
  });

  test(`${format}: an id that is none is refused, and the socket goes on`, async () => {
    const one = await watched(format);
    await assert.rejects(one.socket.followUsers(["nonsense"]), { code: 3, message: "Invalid user identifier" });
    await one.socket.updateStatus("still here");
    await until(one, ({ joins }) => texts(joins, one).includes("still here"), "one's own status");
    one.goodbye();
  });

  test(`${format}: a user is online as long as a socket shows a status`, async () => {
    const [shown, other] = [await watched(format), await watched(format)];
    const online = async () => {
      const { users } = await client().getUsers(other.session, [shown.session.user_id]);
      return users[0].online ?? false;
    };
    assert.equal(await online(), false);
    await shown.socket.updateStatus("");
    assert.equal(await online(), true);
    await other.socket.followUsers([shown.session.user_id]);
    shown.goodbye();
    await until(other, ({ leaves }) => texts(leaves, shown).length === 1, "the end");
    assert.equal(await online(), false);
    other.goodbye();
  });
}

test("a socket opened with a status shows its user to followers", async () => {
  const [follower, shown] = [await watched("json"), await watched("json")];
  await follower.socket.followUsers([shown.session.user_id]);
  const second = client().createSocket();
  await second.connect(shown.session, true);
  await until(follower, ({ joins }) => texts(joins, shown).includes(""), "a blank status");
  second.disconnect(false);
  [follower, shown].forEach((each) => each.goodbye());
});
