// What the tests share: players that sign in through the bridge, and sockets that remember what they were told.
import { Client } from "@heroiclabs/nakama-js";
import { WebSocketAdapterPb } from "@heroiclabs/nakama-js-protobuf";
import { randomUUID } from "node:crypto";
import WebSocket from "ws";

// The SDK is made for browsers: this is the one thing it needs that Node 20 has not.
globalThis.WebSocket = WebSocket;

const [HOST, PORT] = process.env.SDK_SERVER.split(":");
const PROVIDER = process.env.SDK_PROVIDER;
const PATIENCE_MS = 5_000;

export const SERVER_KEY = "defaultkey";
export const FORMATS = ["json", "protobuf"];

/** A client of the server under test. By default it refreshes no session by itself, so that a test sees each call. */
export function client({ key = SERVER_KEY, autoRefresh = false } = {}) {
  return new Client(key, HOST, PORT, false, 7_000, autoRefresh);
}

/** A name that no other test uses. */
export function freshName(prefix = "player") {
  return `${prefix}-${randomUUID().slice(0, 13)}`;
}

/** An identity token of the development provider, as a game would get one from its sign-in page. */
export async function identityToken(user, use = "access") {
  const body = new URLSearchParams({ user, use });
  const answer = await fetch(`http://${PROVIDER}/token`, { method: "POST", body });
  if (!answer.ok) throw new Error(`the provider answered ${answer.status}: ${await answer.text()}`);
  const tokens = await answer.json();
  return use === "id" ? tokens.id_token : tokens.access_token;
}

/** What a token says, unchecked. */
export function claims(token) {
  return JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString());
}

/** Signs a new player in: identity token, bridge, session. */
export async function signIn(user = freshName()) {
  const session = await client().authenticateCustom(await identityToken(user), true, user);
  return { user, session };
}

/** What a refused call was answered. */
export async function refusal(promise) {
  try {
    await promise;
  } catch (answer) {
    if (!(answer instanceof Response)) throw answer;
    return { status: answer.status, ...(await answer.json()) };
  }
  throw new Error("the call was not refused");
}

/** A new player with an open socket in the given format. */
export async function player(format, user = freshName(format)) {
  const { session } = await signIn(user);
  return new Player(user, session, await openSocket(session, format));
}

/** Opens a socket; `format` picks the SDK's text adapter or its protobuf adapter. */
export async function openSocket(session, format) {
  const adapter = format === "protobuf" ? new WebSocketAdapterPb() : undefined;
  const socket = adapter ? client().createSocket(false, false, adapter) : client().createSocket();
  await socket.connect(session, false);
  return socket;
}

/** A player, and every event that came over the player's socket, in order. */
export class Player {
  #events = [];
  #waiting = new Set();

  constructor(user, session, socket) {
    Object.assign(this, { user, session, socket });
    socket.onmatchdata = (data) => this.#keep("data", data);
    socket.onmatchpresence = (event) => this.#keep("presence", event);
    socket.onnotification = (notification) => this.#keep("notification", notification);
    socket.ondisconnect = (event) => this.#keep("disconnect", event);
    const party = ["party", "partyclose", "partydata", "partyjoinrequest", "partyleader", "partymatchmakerticket", "partypresence"];
    for (const kind of party) socket[`on${kind}`] = (message) => this.#keep(kind, message);
  }

  /** Events of one kind so far. */
  seen(kind) {
    return this.#events.filter((event) => event.kind === kind).map((event) => event.value);
  }

  /** The first event of that kind that fits, whether it has come already or is yet to come. */
  async until(kind, fits, what) {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = this.seen(kind).find(fits);
      if (found) return found;
      if (!(await this.#next(deadline - Date.now()))) {
        throw new Error(`${this.user} waited in vain for ${what}; came: ${JSON.stringify(this.#events)}`);
      }
    }
  }

  joined(matchId, other) {
    const fits = (event) => event.match_id === matchId && has(event.joins, other);
    return this.until("presence", fits, `the join of ${other.user}`);
  }

  left(matchId, other) {
    const fits = (event) => event.match_id === matchId && has(event.leaves, other);
    return this.until("presence", fits, `the leave of ${other.user}`);
  }

  notified(code) {
    return this.until("notification", (notification) => notification.code === code, `notification ${code}`);
  }

  received(opCode) {
    return this.until("data", (data) => data.op_code === opCode, `data with op code ${opCode}`);
  }

  /** Forgets what has come so far. */
  forget() {
    this.#events.length = 0;
  }

  /** The line breaks: no close frame, no goodbye. */
  loseTheLine() {
    this.socket.adapter._socket.terminate();
  }

  goodbye() {
    this.socket.disconnect(false);
  }

  #keep(kind, value) {
    this.#events.push({ kind, value });
    for (const wake of this.#waiting) wake(true);
  }

  #next(milliseconds) {
    return new Promise((resolve) => {
      const wake = (came) => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve(came);
      };
      const timer = setTimeout(wake, Math.max(0, milliseconds), false);
      this.#waiting.add(wake);
    });
  }
}

function has(presences, other) {
  return (presences ?? []).some((presence) => presence.user_id === other.session.user_id);
}
