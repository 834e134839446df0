// The README's first session: two players sign in through the bridge and meet in a match.
import { Client } from "@heroiclabs/nakama-js";
import { WebSocket } from "ws";
globalThis.WebSocket = WebSocket;

const { SDK_SERVER = "127.0.0.1:7350", SDK_PROVIDER = "127.0.0.1:7352" } = process.env;
const [host, port] = SDK_SERVER.split(":");

async function player(name) {
  const form = new URLSearchParams({ user: name });
  const identity = await (await fetch(`http://${SDK_PROVIDER}/token`, { method: "POST", body: form })).json();
  const client = new Client("defaultkey", host, port);
  const session = await client.authenticateCustom(identity.access_token, true, name);
  const socket = client.createSocket();
  await socket.connect(session, false);
  return socket;
}

const [ann, bob] = [await player("ann"), await player("bob")];
bob.onmatchdata = (data) => {
  console.log(`bob hears from ${data.presence.username}: ${new TextDecoder().decode(data.data)}`);
  ann.disconnect();
  bob.disconnect();
  process.exit(); // the SDK's own timers would keep the process for a while
};
const match = await ann.createMatch();
const joined = await bob.joinMatch(match.match_id);
console.log(`bob meets ${joined.presences.map((presence) => presence.username)}`);
await ann.sendMatchState(match.match_id, 1, "hello");
