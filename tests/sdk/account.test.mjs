// Accounts and sessions through the SDK's client: the bridge, refresh, log-out, profile, look-ups, device links.
import assert from "node:assert/strict";
import { test } from "node:test";
import { claims, client, freshName, identityToken, openSocket, refusal, signIn } from "./support.mjs";

for (const use of ["access", "id"]) {
  test(`an ${use} token signs a player in, and its subject is the account's custom id`, async () => {
    const name = freshName();
    const token = await identityToken(name, use);
    const session = await client().authenticateCustom(token, true, name);
    assert.equal(session.created, true);
    assert.equal(session.username, name);
    assert.ok(session.refresh_token);
    const account = await client().getAccount(session);
    assert.equal(account.custom_id, claims(token).sub);
    assert.equal(account.user.id, session.user_id);
  });
}

test("the same person comes back to the same account", async () => {
  const { user, session } = await signIn();
  const again = await client().authenticateCustom(await identityToken(user), true);
  assert.equal(again.created, false);
  assert.equal(again.user_id, session.user_id);
  assert.equal(again.username, user);
});

test("session variables travel in the session token", async () => {
  const session = await client().authenticateCustom(await identityToken(freshName()), true, undefined, { level: "3" });
  assert.equal(session.vars.level, "3");
});

test("a custom id that is no identity token is refused", async () => {
  const answer = await refusal(client().authenticateCustom("somebody-elses-id", true));
  assert.deepEqual([answer.status, answer.code], [401, 16]);
});

test("an identity token with another's signature is refused", async () => {
  const [header, , signature] = (await identityToken(freshName())).split(".");
  const [, payload] = (await identityToken(freshName())).split(".");
  const answer = await refusal(client().authenticateCustom([header, payload, signature].join("."), true));
  assert.deepEqual([answer.status, answer.code], [401, 16]);
});

test("a wrong server key is refused", async () => {
  const token = await identityToken(freshName());
  const answer = await refusal(client({ key: "not-the-key" }).authenticateCustom(token, true));
  assert.deepEqual(answer, { status: 401, code: 16, message: "Server key invalid" });
});

test("a refreshed session is the same player's, and opens everything", async () => {
  const { session } = await signIn();
  const userId = session.user_id;
  const refreshed = await client().sessionRefresh(session);
  assert.equal(refreshed.user_id, userId);
  assert.equal((await client().getAccount(refreshed)).user.id, userId);
});

test("a client that refreshes by itself reads its account", async () => {
  const { session } = await signIn();
  // Tokens live a minute, less than the SDK's margin of five: it refreshes before every call.
  assert.equal((await client({ autoRefresh: true }).getAccount(session)).user.id, session.user_id);
});

test("a logged-out session opens nothing any more", async () => {
  const { session } = await signIn();
  assert.equal(await client().sessionLogout(session, session.token, session.refresh_token), true);
  assert.equal((await refusal(client().getAccount(session))).status, 401);
  assert.equal((await refusal(client().sessionRefresh(session))).status, 401);
  await assert.rejects(openSocket(session, "json"), "no socket with a token that was logged out");
});

test("an updated account shows its new profile", async () => {
  const { session } = await signIn();
  const username = freshName("renamed");
  const profile = { username, display_name: "Ren Ämed 絆", lang_tag: "ja", location: "Kyōto", timezone: "Asia/Tokyo" };
  assert.equal(await client().updateAccount(session, { ...profile, avatar_url: "https://example.com/a.png" }), true);
  const { user } = await client().getAccount(session);
  for (const [key, value] of Object.entries(profile)) assert.equal(user[key], value, key);
  assert.equal(user.avatar_url, "https://example.com/a.png");
});

test("a username that somebody has is refused", async () => {
  const [one, other] = [await signIn(), await signIn()];
  const answer = await refusal(client().updateAccount(one.session, { username: other.user }));
  assert.deepEqual([answer.status, answer.code], [409, 6]);
});

test("users are found by id and by name", async () => {
  const [one, other] = [await signIn(), await signIn()];
  const { users } = await client().getUsers(one.session, [one.session.user_id], [other.user]);
  const found = users.map((user) => [user.id, user.username]).sort();
  const wanted = [one, other].map(({ user, session }) => [session.user_id, user]).sort();
  assert.deepEqual(found, wanted);
  assert.deepEqual((await client().getUsers(one.session, [], [freshName("nobody")])).users, []);
});

test("a linked device signs the same player in until it is unlinked", async () => {
  const { session } = await signIn();
  const device = { id: freshName("device") };
  assert.equal(await client().linkDevice(session, device), true);
  const devices = (await client().getAccount(session)).devices.map(({ id }) => id);
  assert.deepEqual(devices, [device.id]);
  const byDevice = await client().authenticateDevice(device.id, false);
  assert.equal(byDevice.user_id, session.user_id);
  assert.equal(await client().unlinkDevice(session, device), true);
  assert.equal((await refusal(client().authenticateDevice(device.id, false))).status, 404);
});

test("a deleted account is gone", async () => {
  const { user, session } = await signIn();
  assert.equal(await client().deleteAccount(session), true);
  assert.equal((await refusal(client().getAccount(session))).status, 401);
  const answer = await refusal(client().authenticateCustom(await identityToken(user), false));
  assert.equal(answer.status, 404);
});

test("a function that does not exist is named in the refusal", async () => {
  const { session } = await signIn();
  const answer = await refusal(client().rpc(session, "no_such_function", {}));
  assert.deepEqual([answer.status, answer.code, answer.message], [404, 5, "RPC function not found"]);
});
