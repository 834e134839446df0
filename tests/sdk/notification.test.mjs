// Notifications and friends through the SDK: told over its socket in both formats, listed and deleted by its client.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FORMATS, client, player, refusal, signIn } from "./support.mjs";

const FRIEND = 0;
const INVITED = 1;
const WAS_INVITED = 2;
const BLOCKED = 3;

/** What a player sees of others: usernames with states. */
async function friends({ session }, state) {
  const { friends = [] } = await client().listFriends(session, state, 100);
  return friends.map(({ user, state: seen }) => [user.username, seen ?? FRIEND]);
}

for (const format of FORMATS) {
  test(`${format}: a friend request is told, kept, accepted and ended`, async () => {
    const [ann, bob] = [await player(format), await player(format)];
    await client().addFriends(bob.session, [ann.session.user_id]);
    const invite = await ann.notified(-2);
    assert.equal(invite.subject, `${bob.user} wants to add you as a friend`);
    assert.deepEqual(invite.content, { username: bob.user });
    assert.equal(invite.sender_id, bob.session.user_id);
    assert.equal(invite.persistent, true);
    assert.deepEqual(await friends(ann), [[bob.user, WAS_INVITED]]);
    assert.deepEqual(await friends(bob), [[ann.user, INVITED]]);

    await client().addFriends(ann.session, undefined, [bob.user]);
    assert.equal((await bob.notified(-3)).subject, `${ann.user} accepted your friend request`);
    assert.deepEqual(await friends(ann, FRIEND), [[bob.user, FRIEND]]);

    await client().deleteFriends(ann.session, [bob.session.user_id]);
    assert.equal((await bob.notified(-9)).subject, `${ann.user} removed you as a friend`);
    assert.deepEqual(await friends(bob), []);
    assert.equal(ann.seen("notification").length, 1, "who acts is told nothing");
    [ann, bob].forEach((each) => each.goodbye());
  });

  test(`${format}: who is blocked is told nothing, and reaches nobody`, async () => {
    const [ann, bob] = [await player(format), await player(format)];
    await client().blockFriends(ann.session, [bob.session.user_id]);
    await client().addFriends(bob.session, [ann.session.user_id]);
    assert.deepEqual(await friends(ann), [[bob.user, BLOCKED]]);
    assert.deepEqual(await friends(bob), []);
    // Whatever had been told would have come before this answer.
    await Promise.all([ann, bob].map(({ socket }) => socket.createMatch()));
    assert.deepEqual([...ann.seen("notification"), ...bob.seen("notification")], []);
    [ann, bob].forEach((each) => each.goodbye());
  });
}

test("notifications are listed in pages and deleted", async () => {
  const ann = await signIn();
  for (let number = 0; number < 3; number += 1) {
    const { session } = await signIn();
    await client().addFriends(session, [ann.session.user_id]);
  }
  const first = await client().listNotifications(ann.session, 2);
  const second = await client().listNotifications(ann.session, 2, first.cacheable_cursor);
  assert.deepEqual([first.notifications.length, second.notifications.length], [2, 1]);
  const ids = first.notifications.map(({ id }) => id);
  assert.equal(await client().deleteNotifications(ann.session, ids), true);
  const rest = await client().listNotifications(ann.session, 100);
  assert.deepEqual(rest.notifications.map(({ id }) => id), second.notifications.map(({ id }) => id));
  const none = await client().listNotifications(ann.session, 100, second.cacheable_cursor);
  assert.deepEqual([none.notifications ?? [], none.cacheable_cursor], [[], second.cacheable_cursor]);
});

test("friends of friends are suggested, and oneself is refused", async () => {
  const [ann, bob, cid] = [await signIn(), await signIn(), await signIn()];
  for (const other of [ann, cid]) {
    await client().addFriends(bob.session, [other.session.user_id]);
    await client().addFriends(other.session, [bob.session.user_id]);
  }
  const { friends_of_friends: found } = await client().listFriendsOfFriends(ann.session, 10);
  assert.deepEqual(found.map(({ referrer, user }) => [referrer, user.username]), [[bob.session.user_id, cid.user]]);
  const own = await refusal(client().addFriends(ann.session, [ann.session.user_id]));
  assert.deepEqual([own.status, own.message], [400, "Cannot add self as friend."]);
});
