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

const [cleo, dan] = [await player("cleo"), await player("dan")];
dan.onmatchdata = (data) => {
  console.log(`dan hears from ${data.presence.username}: ${new TextDecoder().decode(data.data)}`);
  cleo.disconnect();
  dan.disconnect();
  process.exit(); // the SDK's own timers would keep the process for a while
};
const match = await cleo.createMatch();
const joined = await dan.joinMatch(match.match_id);
console.log(`dan meets ${joined.presences.map((presence) => presence.username)}`);
await cleo.sendMatchState(match.match_id, 1, "hello");
