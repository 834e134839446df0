//! Friends at the wire: every move of the table of states, whom it tells, and what a list shows.

mod common;

use common::{SERVER_KEY, Socket, TestServer, text};
use serde_json::{Value, json};

struct World {
    server: TestServer,
}

struct Player {
    name: String,
    id: String,
    bearer: String,
    token: String,
}

impl World {
    async fn start() -> Self {
        Self { server: TestServer::start().await }
    }

    async fn player(&self, name: &str) -> Player {
        let path = format!("/v2/account/authenticate/custom?username={name}");
        let id = json!({ "id": format!("id-of-{name}") });
        let (status, session) = self.server.call("POST", &path, SERVER_KEY, id).await;
        assert_eq!(status, 200, "{session}");
        let token = text(&session["token"]).to_owned();
        let claims = self.server.running.services().tokens.verify_session(&token).expect("a good token");
        Player { name: name.to_owned(), id: claims.user_id.to_string(), bearer: format!("Bearer {token}"), token }
    }

    async fn call(&self, player: &Player, method: &str, path: &str) -> (u16, Value) {
        self.server.call(method, path, &player.bearer, Value::Null).await
    }

    /// A call that succeeds and says nothing.
    async fn done(&self, player: &Player, method: &str, path: &str) {
        assert_eq!(self.call(player, method, path).await, (200, json!({})), "{method} {path}");
    }

    /// `call` is add, delete or block.
    async fn act(&self, player: &Player, call: &str, other: &Player) {
        let (method, path) = match call {
            "add" => ("POST", "/v2/friend"),
            "delete" => ("DELETE", "/v2/friend"),
            _ => ("POST", "/v2/friend/block"),
        };
        self.done(player, method, &format!("{path}?ids={}", other.id)).await;
    }

    async fn friends(&self, player: &Player, query: &str) -> Value {
        let (status, list) = self.call(player, "GET", &format!("/v2/friend?{query}")).await;
        assert_eq!(status, 200, "{list}");
        list
    }

    /// What `player` sees of `other`: a state, or nothing.
    async fn state(&self, player: &Player, other: &Player) -> Option<i64> {
        let list = self.friends(player, "").await;
        let all = list["friends"].as_array().cloned().unwrap_or_default();
        all.iter().find(|one| one["user"]["id"] == json!(other.id)).map(|one| one["state"].as_i64().expect("a state"))
    }

    async fn refused(&self, player: &Player, method: &str, path: &str, message: &str) {
        let wanted = (400, json!({ "code": 3, "message": message }));
        assert_eq!(self.call(player, method, path).await, wanted, "{method} {path}");
    }
}

fn names(list: &Value) -> Vec<&str> {
    let all = list["friends"].as_array();
    all.map_or(Vec::new(), |all| all.iter().map(|one| text(&one["user"]["username"])).collect())
}

type Pair = (Option<i64>, Option<i64>);
/// spec/friends-and-groups.md A3: the calls that lead to a pair of states (mine, theirs); then after add, delete and block, each with
/// the code of what the other one is told. A call of the other one begins with a `<`.
type Row = (&'static [&'static str], Pair, [(Pair, Option<i64>); 3]);
const NONE: Pair = (None, None);
const INVITED: Pair = (Some(1), Some(2));
const WAS_INVITED: Pair = (Some(2), Some(1));
const FRIENDS: Pair = (Some(0), Some(0));
const BLOCKED: Pair = (Some(3), None);
const IS_BLOCKED: Pair = (None, Some(3));
const BOTH: Pair = (Some(3), Some(3));
const TABLE: [Row; 7] = [
    (&[], NONE, [(INVITED, Some(-2)), (NONE, None), (BLOCKED, None)]),
    (&["add"], INVITED, [(INVITED, None), (NONE, Some(-9)), (BLOCKED, None)]),
    (&["<add"], WAS_INVITED, [(FRIENDS, Some(-3)), (NONE, Some(-9)), (BLOCKED, None)]),
    (&["add", "<add"], FRIENDS, [(FRIENDS, None), (NONE, Some(-9)), (BLOCKED, None)]),
    (&["block"], BLOCKED, [(BLOCKED, None), (NONE, None), (BLOCKED, None)]),
    (&["<block"], IS_BLOCKED, [(IS_BLOCKED, None), (IS_BLOCKED, None), (BOTH, None)]),
    (&["block", "<block"], BOTH, [(BOTH, None), (IS_BLOCKED, None), (BOTH, None)]),
];

#[tokio::test]
async fn every_call_in_every_state_does_what_the_table_says_and_tells_the_other_alone() {
    let world = World::start().await;
    for (row, (way, before, cells)) in TABLE.into_iter().enumerate() {
        for (call, (after, told)) in ["add", "delete", "block"].into_iter().zip(cells) {
            let (me, other) =
                (world.player(&format!("me-{row}-{call}")).await, world.player(&format!("other-{row}-{call}")).await);
            for step in way {
                match step.strip_prefix('<') {
                    Some(step) => world.act(&other, step, &me).await,
                    None => world.act(&me, step, &other).await,
                }
            }
            assert_eq!((world.state(&me, &other).await, world.state(&other, &me).await), before);
            let mut mine = world.server.connect(&me.token, "json").await;
            let mut theirs = world.server.connect(&other.token, "json").await;
            world.act(&me, call, &other).await;
            let now = (world.state(&me, &other).await, world.state(&other, &me).await);
            assert_eq!(now, after, "{call} after {before:?}");
            let codes = notified(&mut theirs).await;
            assert_eq!(codes, told.into_iter().collect::<Vec<_>>(), "{call} after {before:?}");
            assert_eq!(notified(&mut mine).await, [0; 0], "{call} after {before:?}");
        }
    }
}

/// The codes of what a socket was told before the answer to a ping.
async fn notified(socket: &mut Socket) -> Vec<i64> {
    socket.send(json!({ "cid": "last", "ping": {} })).await;
    let mut codes = Vec::new();
    loop {
        let envelope = socket.next().await;
        if envelope["cid"] == "last" {
            return codes;
        }
        let all = envelope["notifications"]["notifications"].as_array().cloned().expect("notifications");
        codes.extend(all.iter().map(|one| one["code"].as_i64().expect("a code")));
    }
}

#[tokio::test]
async fn what_a_player_is_told_names_who_does_it() {
    let world = World::start().await;
    let (ann, bob) = (world.player("ann").await, world.player("bob").await);
    world.act(&ann, "add", &bob).await;
    world.act(&bob, "add", &ann).await;
    world.act(&bob, "delete", &ann).await;
    let told = async |player: &Player| {
        let (_, list) = world.call(player, "GET", "/v2/notification?limit=9").await;
        let all = list["notifications"].as_array().cloned().unwrap_or_default();
        let shown = |one: &Value| {
            (text(&one["subject"]).to_owned(), text(&one["content"]).to_owned(), text(&one["sender_id"]).to_owned())
        };
        all.iter().map(shown).collect::<Vec<_>>()
    };
    let by = |subject: &str, player: &Player| {
        (format!("{} {subject}", player.name), format!("{{\"username\": \"{}\"}}", player.name), player.id.clone())
    };
    assert_eq!(told(&bob).await, [by("wants to add you as a friend", &ann)]);
    assert_eq!(told(&ann).await, [by("accepted your friend request", &bob), by("removed you as a friend", &bob)]);
}

#[tokio::test]
async fn calls_are_judged_entry_by_entry_before_anything_happens() {
    let world = World::start().await;
    let (ann, bob) = (world.player("ann").await, world.player("bob").await);
    let calls = [
        ("POST", "/v2/friend", "Cannot add self as friend."),
        ("DELETE", "/v2/friend", "Cannot delete self."),
        ("POST", "/v2/friend/block", "Cannot block self."),
    ];
    for (method, path, is_self) in calls {
        let refused = async |query: String, message: &str| {
            world.refused(&ann, method, &format!("{path}?{query}"), message).await;
        };
        world.done(&ann, method, path).await;
        refused(format!("ids={}", ann.id), is_self).await;
        refused(format!("ids={}", ann.id.to_uppercase()), is_self).await;
        refused(format!("ids={}&ids=zz", ann.id), is_self).await;
        refused(format!("ids=zz&ids={}", ann.id), "Invalid user ID 'zz'.").await;
        let nil = "00000000-0000-0000-0000-000000000000";
        refused(format!("ids={nil}"), &format!("Invalid user ID '{nil}'.")).await;
        refused("ids=".into(), "Invalid user ID ''.").await;
        refused(format!("ids={}&usernames=", bob.id), "Username must not be empty.").await;
        refused("usernames=ann".into(), is_self).await;
        refused(format!("ids={}&usernames=ann", bob.id), is_self).await;
        refused("usernames=&usernames=ann".into(), "Username must not be empty.").await;
        if method == "DELETE" {
            world.done(&ann, method, &format!("{path}?usernames=nobody")).await;
        } else {
            refused("usernames=nobody&usernames=BOB".into(), "No valid ID or username was provided.").await;
        }
        world.done(&ann, method, &format!("{path}?ids=aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa")).await;
        let many = "usernames=x&".repeat(101);
        refused(many, "Too many IDs and usernames, at most 100 are allowed.").await;
        assert_eq!(world.friends(&ann, "").await, json!({}), "{method} {path}");
    }
    // A body is not looked at.
    let body = json!({ "ids": [bob.id] });
    assert_eq!(world.server.call("POST", "/v2/friend", &ann.bearer, body).await, (200, json!({})));
    assert_eq!(world.friends(&ann, "").await, json!({}));
    // By name and by id is once; the unknown are passed over.
    let query = format!("ids={0}&ids={0}&usernames=bob&usernames=nobody", bob.id);
    world.done(&ann, "POST", &format!("/v2/friend?{query}")).await;
    assert_eq!(names(&world.friends(&ann, "").await), ["bob"]);
    let (_, list) = world.call(&bob, "GET", "/v2/notification?limit=9").await;
    assert_eq!(list["notifications"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_name_that_the_account_has_taken_since_is_itself_too() {
    let world = World::start().await;
    let ann = world.player("ann").await;
    let (status, _) = world.server.call("PUT", "/v2/account", &ann.bearer, json!({ "username": "anna" })).await;
    assert_eq!(status, 200);
    world.refused(&ann, "POST", "/v2/friend?usernames=anna", "Cannot add self as friend.").await;
}

#[tokio::test]
async fn metadata_stays_with_the_one_who_gave_it() {
    let world = World::start().await;
    let (ann, bob) = (world.player("ann").await, world.player("bob").await);
    let failed = (500, json!({ "code": 13, "message": "Error while trying to add friends." }));
    let add = async |from: &Player, to: &Player, metadata: &str| {
        world.call(from, "POST", &format!("/v2/friend?ids={}&metadata={metadata}", to.id)).await
    };
    assert_eq!(add(&ann, &bob, "notjson").await, failed);
    assert_eq!(world.state(&ann, &bob).await, None);
    assert_eq!(add(&ann, &bob, "%7B%22k%22:%22v%22%7D").await, (200, json!({})));
    assert_eq!(add(&bob, &ann, "%7B%22x%22:1%7D").await, (200, json!({})));
    assert_eq!(add(&bob, &ann, "notjson").await, (200, json!({})), "nothing changes, so nobody looks at it");
    assert_eq!(world.friends(&ann, "").await["friends"][0]["metadata"], r#"{"k": "v"}"#);
    assert_eq!(world.friends(&bob, "").await["friends"][0]["metadata"], r#"{"x": 1}"#);
}

#[tokio::test]
async fn the_list_goes_by_state_in_pages_and_shows_who_is_online() {
    let world = World::start().await;
    let ann = world.player("ann").await;
    for name in ["blocked", "invited", "friend-1", "friend-2", "asks"] {
        let other = world.player(name).await;
        match name {
            "blocked" => world.act(&ann, "block", &other).await,
            "asks" => world.act(&other, "add", &ann).await,
            _ => world.act(&ann, "add", &other).await,
        }
        if name.starts_with("friend") {
            world.act(&other, "add", &ann).await;
        }
    }
    let all = world.friends(&ann, "").await;
    assert_eq!(names(&all), ["friend-1", "friend-2", "invited", "asks", "blocked"]);
    assert_eq!(all.get("cursor"), None);
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = world.friends(&ann, &format!("limit=2&cursor={cursor}")).await;
        seen.extend(names(&page).into_iter().map(str::to_owned));
        match page.get("cursor") {
            Some(next) => text(next).clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, names(&all));
    let one = world.friends(&ann, "state=0&limit=1").await;
    let cursor = text(&one["cursor"]);
    assert_eq!(names(&world.friends(&ann, &format!("state=0&limit=1&cursor={cursor}")).await), ["friend-2"]);
    for query in [format!("state=1&cursor={cursor}"), "cursor=zz".into(), "cursor=!".into()] {
        world.refused(&ann, "GET", &format!("/v2/friend?{query}"), "Cursor is invalid.").await;
    }
    for query in ["limit=0", "limit=1001"] {
        let message = "Invalid limit - limit must be between 1 and 1000.";
        world.refused(&ann, "GET", &format!("/v2/friend?{query}"), message).await;
    }
    for query in ["state=4", "state=-1"] {
        let message = "Invalid state - state must be between 0 and 3.";
        world.refused(&ann, "GET", &format!("/v2/friend?{query}"), message).await;
    }
    let friend = world.player("friend-1").await;
    let shown = &world.friends(&ann, "limit=1").await["friends"][0]["user"];
    assert_eq!((shown.get("online"), shown.get("edge_count")), (None, None));
    let query = format!("token={}&format=json&status=true", friend.token);
    let _socket = world.server.try_connect(&query, &[]).await.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    assert_eq!(world.friends(&ann, "limit=1").await["friends"][0]["user"]["online"], true);
    let (_, account) = world.call(&friend, "GET", "/v2/account").await;
    assert_eq!(account["user"]["edge_count"], 1);
}

#[tokio::test]
async fn friends_of_friends_are_paged_through_every_referrer() {
    let world = World::start().await;
    let ann = world.player("ann").await;
    let mut others = Vec::new();
    for name in ["x", "y", "z"] {
        others.push(world.player(name).await);
    }
    for name in ["bob", "cid"] {
        let referrer = world.player(name).await;
        for other in others.iter().chain([&ann]) {
            world.act(&referrer, "add", other).await;
            world.act(other, "add", &referrer).await;
        }
    }
    let page = async |query: String| {
        let (status, page) = world.call(&ann, "GET", &format!("/v2/friend/friends?{query}")).await;
        assert_eq!(status, 200, "{page}");
        page
    };
    let pairs = |page: &Value| {
        let all = page["friends_of_friends"].as_array().cloned().unwrap_or_default();
        all.iter().map(|one| (one["referrer"].clone(), one["user"]["username"].clone())).collect::<Vec<_>>()
    };
    let all = page(String::new()).await;
    assert_eq!((pairs(&all).len(), all.get("cursor")), (6, None));
    assert_eq!(all["friends_of_friends"][0]["user"]["edge_count"], 2);
    let (mut cursor, mut seen) = (String::new(), Vec::new());
    loop {
        let page = page(format!("limit=2&cursor={cursor}")).await;
        seen.extend(pairs(&page));
        match page.get("cursor") {
            Some(next) => text(next).clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, pairs(&all));
    let limit = "Invalid limit - limit must be between 1 and 100.";
    world.refused(&ann, "GET", "/v2/friend/friends?limit=101", limit).await;
    world.refused(&ann, "GET", "/v2/friend/friends?limit=0", limit).await;
    world.refused(&ann, "GET", "/v2/friend/friends?cursor=zz", "Cursor is invalid.").await;
}

#[tokio::test]
async fn imports_answer_that_their_provider_is_not_configured() {
    let world = World::start().await;
    let ann = world.player("ann").await;
    let import = async |name: &str, body: Value| {
        world.server.call("POST", &format!("/v2/friend/{name}"), &ann.bearer, body).await
    };
    let steam = (400, json!({ "code": 9, "message": "Steam authentication is not configured." }));
    let no_token = (400, json!({ "code": 3, "message": "Facebook token is required." }));
    let facebook = (400, json!({ "code": 9, "message": "Facebook authentication is not configured." }));
    assert_eq!(import("steam", json!({})).await, steam);
    assert_eq!(import("steam", json!({ "token": "x" })).await, steam);
    assert_eq!(import("facebook", json!({})).await, no_token);
    assert_eq!(import("facebook", json!({ "token": "x" })).await, facebook);
}

#[tokio::test]
async fn a_full_list_says_so_and_friends_outlive_a_restart_and_not_an_account() {
    let server = TestServer::start_with(|config| config.friend.max_per_user = 1).await;
    let world = World { server };
    let (ann, bob, cid) = (world.player("ann").await, world.player("bob").await, world.player("cid").await);
    world.act(&ann, "add", &bob).await;
    world.act(&bob, "add", &ann).await;
    let full = async |player: &Player, path: &str, other: &Player, message: &str| {
        let answer = world.call(player, "POST", &format!("{path}?ids={}", other.id)).await;
        assert_eq!(answer, (429, json!({ "code": 8, "message": message })));
    };
    let own = "You have as many friends, invites and blocks as one may.";
    full(&ann, "/v2/friend", &cid, own).await;
    full(&ann, "/v2/friend/block", &cid, own).await;
    full(&cid, "/v2/friend", &ann, "That user takes no more invites.").await;
    assert_eq!(world.friends(&cid, "").await, json!({}));

    let world = World { server: TestServer::start_in(world.server.stop().await, |_| {}).await };
    let (ann, bob) = (world.player("ann").await, world.player("bob").await);
    assert_eq!(names(&world.friends(&ann, "state=0").await), ["bob"]);
    world.done(&bob, "DELETE", "/v2/account").await;
    assert_eq!(world.friends(&ann, "").await, json!({}));
}

#[tokio::test]
async fn two_who_invite_each_other_at_once_are_friends() {
    let world = World::start().await;
    for round in 0..10 {
        let (one, other) = (world.player(&format!("one-{round}")).await, world.player(&format!("other-{round}")).await);
        tokio::join!(world.act(&one, "add", &other), world.act(&other, "add", &one));
        assert_eq!((world.state(&one, &other).await, world.state(&other, &one).await), FRIENDS);
    }
}

#[tokio::test]
async fn who_invites_and_withdraws_again_and_again_pushes_out_nothing_of_others() {
    let server = TestServer::start_with(|config| {
        config.notification.max_per_user = 10;
        config.notification.max_per_sender = 4;
    })
    .await;
    let world = World { server };
    let (ann, bob, pest) = (world.player("ann").await, world.player("bob").await, world.player("pest").await);
    world.act(&bob, "add", &ann).await;
    for _ in 0..10 {
        world.act(&pest, "add", &ann).await;
        world.act(&pest, "delete", &ann).await;
    }
    let list = world.call(&ann, "GET", "/v2/notification?limit=100").await.1;
    let list = list["notifications"].as_array().expect("a list");
    let from: Vec<_> = list.iter().map(|one| (text(&one["sender_id"]), one["code"].clone())).collect();
    let bobs = (&*bob.id, json!(-2));
    let [invite, removal] = [(&*pest.id, json!(-2)), (&*pest.id, json!(-9))];
    assert_eq!(from, [bobs, invite.clone(), removal.clone(), invite, removal]);
}
