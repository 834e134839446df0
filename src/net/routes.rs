//! The route table: every route of contract/http_routes.tsv, in its order, served or not.

use super::call::{Answer, Call};
use crate::{
    error::Error,
    features::{Client, Services, account, authenticate, links, matches, session, social, users},
};
use kizuna_protocol::{api, code::Code, json::JsonMessage};

/// Where the body of a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Nowhere: it is not read.
    None,
    /// It is the whole request.
    Whole,
    /// It is this field of the request.
    Field(&'static str),
    /// It is read, if at all, by the function that is called.
    Raw,
}

/// Whose credentials a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    Nobody,
    ServerKey,
    Session,
    HttpKeyOrSession,
}

/// Decodes the request, checks the credentials, starts the operation: in this order.
type Run = for<'s> fn(&'s Services, &mut Call<'_>, &'static Route) -> Result<Answer<'s>, Error>;

/// One row of the table.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) rpc: &'static str,
    pub(super) auth: Auth,
    pub(super) body: Body,
    /// Whether a field of the request may come from the query.
    pub(super) has_query: bool,
    /// Full protobuf name of the request.
    #[cfg(test)]
    pub(super) request: &'static str,
    /// Full protobuf name of the answer.
    #[cfg(test)]
    pub(super) response: &'static str,
    pub(super) is_served: bool,
    pub(super) run: Run,
}

impl Route {
    /// Whether the route is one of the typed ones; the others (`/`, `/ws`, RPC) are recognised by `matching`.
    pub(super) fn is_api(&self) -> bool {
        self.auth != Auth::HttpKeyOrSession && self.rpc != "-"
    }
}

/// The routes that are served: method, path, and RPC ("-" where there is none).
pub fn served() -> Vec<(&'static str, &'static str, &'static str)> {
    ROUTES.iter().filter(|route| route.is_served).map(|route| (route.method, route.path, route.rpc)).collect()
}

/// Rows: METHOD "path" Rpc: auth body query Request => Response, operation. Body is `none`, `whole` or `(field)`; query is
/// `query` or `_`; the operation is `later`, or `(path::to::it)`: an async fn of services, caller or client, and request.
macro_rules! routes {
    ($($method:ident $path:literal $rpc:ident: $auth:ident $body:tt $query:tt $request:ident => $response:ident, $run:tt;)*) => {
        [$(Route {
            method: stringify!($method),
            path: $path,
            rpc: stringify!($rpc),
            auth: auth!($auth),
            body: body!($body),
            has_query: has_query!($query),
            #[cfg(test)]
            request: name!($request),
            #[cfg(test)]
            response: name!($response),
            is_served: is_served!($run),
            run: |services, call, route| run!($run $auth, $request $body $response, services call route),
        },)*
        special("POST", "/v2/rpc/{id}", "RpcFunc", Auth::HttpKeyOrSession, Body::Raw),
        special("GET", "/v2/rpc/{id}", "RpcFunc", Auth::HttpKeyOrSession, Body::None),
        special("GET", "/", "-", Auth::Nobody, Body::None),
        special("GET", "/ws", "-", Auth::Session, Body::None)]
    };
}

/// A row that has code of its own.
const fn special(method: &'static str, path: &'static str, rpc: &'static str, auth: Auth, body: Body) -> Route {
    let run: Run = |_, _, route| Err(not_served(route));
    Route {
        method,
        path,
        rpc,
        auth,
        body,
        has_query: true,
        #[cfg(test)]
        request: "-",
        #[cfg(test)]
        response: "-",
        is_served: true,
        run,
    }
}

macro_rules! auth {
    (nobody) => {
        Auth::Nobody
    };
    (server_key) => {
        Auth::ServerKey
    };
    (session) => {
        Auth::Session
    };
}
macro_rules! body {
    (none) => {
        Body::None
    };
    (whole) => {
        Body::Whole
    };
    (($field:ident)) => {
        Body::Field(stringify!($field))
    };
}
macro_rules! has_query {
    (query) => {
        true
    };
    (_) => {
        false
    };
}
#[cfg(test)]
macro_rules! name {
    (Empty) => {
        "google.protobuf.Empty"
    };
    ($message:ident) => {
        <api::$message as JsonMessage>::NAME
    };
}
macro_rules! is_served {
    (later) => {
        false
    };
    ($run:tt) => {
        true
    };
}
macro_rules! decode {
    ($request:ident none, $call:ident $route:ident) => {
        $call.fields::<api::$request>($route, None)?
    };
    ($request:ident whole, $call:ident $route:ident) => {
        $call.whole::<api::$request>($route)?
    };
    ($request:ident ($field:ident), $call:ident $route:ident) => {{
        let field = $call.body()?;
        let mut request: api::$request = $call.fields($route, Some(stringify!($field)))?;
        request.$field = Some(field);
        request
    }};
}
macro_rules! caller {
    (nobody, $call:ident, $services:ident) => {
        $call.client
    };
    (server_key, $call:ident, $services:ident) => {
        $call.server_key($services)?
    };
    (session, $call:ident, $services:ident) => {
        $call.session($services)?
    };
}
macro_rules! run {
    (later $auth:ident, Empty none $response:ident, $services:ident $call:ident $route:ident) => {{
        let _caller = caller!($auth, $call, $services);
        Err(not_served($route))
    }};
    (later $auth:ident, $request:ident $body:tt $response:ident, $services:ident $call:ident $route:ident) => {{
        let _request = decode!($request $body, $call $route);
        let _caller = caller!($auth, $call, $services);
        Err(not_served($route))
    }};
    (($operation:path) $auth:ident, Empty none $response:ident, $services:ident $call:ident $route:ident) => {{
        let _ = $route.rpc;
        let caller = caller!($auth, $call, $services);
        Ok(Box::pin(async move { $operation($services, &caller).await.map(|answer| json!($response, answer)) }))
    }};
    (($operation:path) $auth:ident, $request:ident $body:tt $response:ident, $services:ident $call:ident $route:ident) => {{
        let request = decode!($request $body, $call $route);
        let caller = caller!($auth, $call, $services);
        Ok(Box::pin(async move { $operation($services, &caller, request).await.map(|answer| json!($response, answer)) }))
    }};
}
macro_rules! json {
    (Empty, $answer:ident) => {{
        let () = $answer;
        b"{}".to_vec()
    }};
    ($response:ident, $answer:ident) => {
        json(&$answer)
    };
}

fn json(answer: &impl JsonMessage) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    answer.write_json(&mut text);
    text
}

fn not_served(route: &Route) -> Error {
    Error::new(Code::Unimplemented, format!("{} is not served yet.", route.rpc))
}

/// Nothing is asked of anything behind the server: it answers, so it is well.
async fn healthcheck(_services: &Services, _client: &Client) -> Result<(), Error> {
    std::future::ready(Ok(())).await
}

/// Every route.
pub(super) static ROUTES: &[Route] = &routes! {
    POST "/v2/friend" AddFriends: session none query AddFriendsRequest => Empty, later;
    POST "/v2/group/{group_id}/add" AddGroupUsers: session none query AddGroupUsersRequest => Empty, later;
    POST "/v2/account/session/refresh" SessionRefresh:
        server_key whole _ SessionRefreshRequest => Session, (session::session_refresh);
    POST "/v2/session/logout" SessionLogout: session whole _ SessionLogoutRequest => Empty, (session::session_logout);
    POST "/v2/account/authenticate/apple" AuthenticateApple:
        server_key (account) query AuthenticateAppleRequest => Session, (social::authenticate_apple);
    POST "/v2/account/authenticate/custom" AuthenticateCustom:
        server_key (account) query AuthenticateCustomRequest => Session, (authenticate::authenticate_custom);
    POST "/v2/account/authenticate/device" AuthenticateDevice:
        server_key (account) query AuthenticateDeviceRequest => Session, (authenticate::authenticate_device);
    POST "/v2/account/authenticate/email" AuthenticateEmail:
        server_key (account) query AuthenticateEmailRequest => Session, (authenticate::authenticate_email);
    POST "/v2/account/authenticate/facebook" AuthenticateFacebook:
        server_key (account) query AuthenticateFacebookRequest => Session, (social::authenticate_facebook);
    POST "/v2/account/authenticate/facebookinstantgame" AuthenticateFacebookInstantGame:
        server_key (account) query AuthenticateFacebookInstantGameRequest => Session, (social::authenticate_facebook_instant_game);
    POST "/v2/account/authenticate/gamecenter" AuthenticateGameCenter:
        server_key (account) query AuthenticateGameCenterRequest => Session, (social::authenticate_game_center);
    POST "/v2/account/authenticate/google" AuthenticateGoogle:
        server_key (account) query AuthenticateGoogleRequest => Session, (social::authenticate_google);
    POST "/v2/account/authenticate/steam" AuthenticateSteam:
        server_key (account) query AuthenticateSteamRequest => Session, (social::authenticate_steam);
    POST "/v2/group/{group_id}/ban" BanGroupUsers: session none query BanGroupUsersRequest => Empty, later;
    POST "/v2/friend/block" BlockFriends: session none query BlockFriendsRequest => Empty, later;
    POST "/v2/group" CreateGroup: session whole _ CreateGroupRequest => Group, later;
    DELETE "/v2/account" DeleteAccount: session none _ Empty => Empty, (account::delete_account);
    DELETE "/v2/friend" DeleteFriends: session none query DeleteFriendsRequest => Empty, later;
    DELETE "/v2/group/{group_id}" DeleteGroup: session none _ DeleteGroupRequest => Empty, later;
    DELETE "/v2/leaderboard/{leaderboard_id}" DeleteLeaderboardRecord:
        session none _ DeleteLeaderboardRecordRequest => Empty, later;
    DELETE "/v2/notification" DeleteNotifications: session none query DeleteNotificationsRequest => Empty, later;
    DELETE "/v2/tournament/{tournament_id}" DeleteTournamentRecord:
        session none _ DeleteTournamentRecordRequest => Empty, later;
    PUT "/v2/storage/delete" DeleteStorageObjects: session whole _ DeleteStorageObjectsRequest => Empty, later;
    POST "/v2/event" Event: session whole _ Event => Empty, later;
    GET "/v2/account" GetAccount: session none _ Empty => Account, (account::get_account);
    GET "/v2/user" GetUsers: session none query GetUsersRequest => Users, (users::get_users);
    GET "/v2/iap/subscription/{product_id}" GetSubscription:
        session none _ GetSubscriptionRequest => ValidatedSubscription, later;
    GET "/v2/matchmaker/stats" GetMatchmakerStats: session none _ Empty => MatchmakerStats, later;
    GET "/healthcheck" Healthcheck: nobody none _ Empty => Empty, (healthcheck);
    POST "/v2/friend/facebook" ImportFacebookFriends:
        session (account) query ImportFacebookFriendsRequest => Empty, later;
    POST "/v2/friend/steam" ImportSteamFriends: session (account) query ImportSteamFriendsRequest => Empty, later;
    POST "/v2/group/{group_id}/join" JoinGroup: session none _ JoinGroupRequest => Empty, later;
    POST "/v2/tournament/{tournament_id}/join" JoinTournament: session none _ JoinTournamentRequest => Empty, later;
    POST "/v2/group/{group_id}/kick" KickGroupUsers: session none query KickGroupUsersRequest => Empty, later;
    POST "/v2/group/{group_id}/leave" LeaveGroup: session none _ LeaveGroupRequest => Empty, later;
    POST "/v2/account/link/apple" LinkApple: session whole _ AccountApple => Empty, (social::link_apple);
    POST "/v2/account/link/custom" LinkCustom: session whole _ AccountCustom => Empty, (links::link_custom);
    POST "/v2/account/link/device" LinkDevice: session whole _ AccountDevice => Empty, (links::link_device);
    POST "/v2/account/link/email" LinkEmail: session whole _ AccountEmail => Empty, (links::link_email);
    POST "/v2/account/link/facebook" LinkFacebook: session (account) query LinkFacebookRequest => Empty, (social::link_facebook);
    POST "/v2/account/link/facebookinstantgame" LinkFacebookInstantGame:
        session whole _ AccountFacebookInstantGame => Empty, (social::link_facebook_instant_game);
    POST "/v2/account/link/gamecenter" LinkGameCenter: session whole _ AccountGameCenter => Empty, (social::link_game_center);
    POST "/v2/account/link/google" LinkGoogle: session whole _ AccountGoogle => Empty, (social::link_google);
    POST "/v2/account/link/steam" LinkSteam: session whole _ LinkSteamRequest => Empty, (social::link_steam);
    GET "/v2/channel/{channel_id}" ListChannelMessages:
        session none query ListChannelMessagesRequest => ChannelMessageList, later;
    GET "/v2/friend" ListFriends: session none query ListFriendsRequest => FriendList, later;
    GET "/v2/friend/friends" ListFriendsOfFriends:
        session none query ListFriendsOfFriendsRequest => FriendsOfFriendsList, later;
    GET "/v2/group" ListGroups: session none query ListGroupsRequest => GroupList, later;
    GET "/v2/group/{group_id}/user" ListGroupUsers: session none query ListGroupUsersRequest => GroupUserList, later;
    GET "/v2/leaderboard/{leaderboard_id}" ListLeaderboardRecords:
        session none query ListLeaderboardRecordsRequest => LeaderboardRecordList, later;
    GET "/v2/leaderboard/{leaderboard_id}/owner/{owner_id}" ListLeaderboardRecordsAroundOwner:
        session none query ListLeaderboardRecordsAroundOwnerRequest => LeaderboardRecordList, later;
    GET "/v2/match" ListMatches: session none query ListMatchesRequest => MatchList, (matches::list_matches);
    GET "/v2/party" ListParties: session none query ListPartiesRequest => PartyList, later;
    GET "/v2/notification" ListNotifications: session none query ListNotificationsRequest => NotificationList, later;
    GET "/v2/storage/{collection}" ListStorageObjects:
        session none query ListStorageObjectsRequest => StorageObjectList, later;
    GET "/v2/storage/{collection}/{user_id}" ListStorageObjects:
        session none query ListStorageObjectsRequest => StorageObjectList, later;
    POST "/v2/iap/subscription" ListSubscriptions: session whole _ ListSubscriptionsRequest => SubscriptionList, later;
    GET "/v2/tournament" ListTournaments: session none query ListTournamentsRequest => TournamentList, later;
    GET "/v2/tournament/{tournament_id}" ListTournamentRecords:
        session none query ListTournamentRecordsRequest => TournamentRecordList, later;
    GET "/v2/tournament/{tournament_id}/owner/{owner_id}" ListTournamentRecordsAroundOwner:
        session none query ListTournamentRecordsAroundOwnerRequest => TournamentRecordList, later;
    GET "/v2/user/{user_id}/group" ListUserGroups: session none query ListUserGroupsRequest => UserGroupList, later;
    POST "/v2/group/{group_id}/promote" PromoteGroupUsers: session none query PromoteGroupUsersRequest => Empty, later;
    POST "/v2/group/{group_id}/demote" DemoteGroupUsers: session none query DemoteGroupUsersRequest => Empty, later;
    POST "/v2/storage" ReadStorageObjects: session whole _ ReadStorageObjectsRequest => StorageObjects, later;
    POST "/v2/account/unlink/apple" UnlinkApple: session whole _ AccountApple => Empty, later;
    POST "/v2/account/unlink/custom" UnlinkCustom: session whole _ AccountCustom => Empty, (links::unlink_custom);
    POST "/v2/account/unlink/device" UnlinkDevice: session whole _ AccountDevice => Empty, (links::unlink_device);
    POST "/v2/account/unlink/email" UnlinkEmail: session whole _ AccountEmail => Empty, (links::unlink_email);
    POST "/v2/account/unlink/facebook" UnlinkFacebook: session whole _ AccountFacebook => Empty, later;
    POST "/v2/account/unlink/facebookinstantgame" UnlinkFacebookInstantGame:
        session whole _ AccountFacebookInstantGame => Empty, later;
    POST "/v2/account/unlink/gamecenter" UnlinkGameCenter: session whole _ AccountGameCenter => Empty, later;
    POST "/v2/account/unlink/google" UnlinkGoogle: session whole _ AccountGoogle => Empty, later;
    POST "/v2/account/unlink/steam" UnlinkSteam: session whole _ AccountSteam => Empty, later;
    PUT "/v2/account" UpdateAccount: session whole _ UpdateAccountRequest => Empty, (account::update_account);
    PUT "/v2/group/{group_id}" UpdateGroup: session whole _ UpdateGroupRequest => Empty, later;
    POST "/v2/iap/purchase/apple" ValidatePurchaseApple:
        session whole _ ValidatePurchaseAppleRequest => ValidatePurchaseResponse, later;
    POST "/v2/iap/subscription/apple" ValidateSubscriptionApple:
        session whole _ ValidateSubscriptionAppleRequest => ValidateSubscriptionResponse, later;
    POST "/v2/iap/purchase/google" ValidatePurchaseGoogle:
        session whole _ ValidatePurchaseGoogleRequest => ValidatePurchaseResponse, later;
    POST "/v2/iap/subscription/google" ValidateSubscriptionGoogle:
        session whole _ ValidateSubscriptionGoogleRequest => ValidateSubscriptionResponse, later;
    POST "/v2/iap/purchase/huawei" ValidatePurchaseHuawei:
        session whole _ ValidatePurchaseHuaweiRequest => ValidatePurchaseResponse, later;
    POST "/v2/iap/purchase/facebookinstant" ValidatePurchaseFacebookInstant:
        session whole _ ValidatePurchaseFacebookInstantRequest => ValidatePurchaseResponse, later;
    POST "/v2/iap/purchase/samsung" ValidatePurchaseSamsung:
        session whole _ ValidatePurchaseSamsungRequest => ValidatePurchaseResponse, later;
    POST "/v2/leaderboard/{leaderboard_id}" WriteLeaderboardRecord:
        session (record) _ WriteLeaderboardRecordRequest => LeaderboardRecord, later;
    PUT "/v2/storage" WriteStorageObjects: session whole _ WriteStorageObjectsRequest => StorageObjectAcks, later;
    PUT "/v2/tournament/{tournament_id}" WriteTournamentRecord:
        session (record) _ WriteTournamentRecordRequest => LeaderboardRecord, later;
    POST "/v2/tournament/{tournament_id}" WriteTournamentRecord:
        session (record) _ WriteTournamentRecordRequest => LeaderboardRecord, later;
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_contracts() {
        let auth = |route: &Route| match route.auth {
            Auth::Nobody => "none",
            Auth::ServerKey => "server_key",
            Auth::Session => "session",
            Auth::HttpKeyOrSession => "http_key|session",
        };
        let body = |route: &Route| match route.body {
            Body::None => "none",
            Body::Whole => "*",
            Body::Field(field) => field,
            Body::Raw => "raw",
        };
        let contract = include_str!("../../tests/contract/http_routes.tsv");
        let mut rows = contract.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
        for route in ROUTES {
            let row = rows.next().unwrap();
            let ours = [route.method, route.path, route.rpc, body(route), auth(route)];
            assert_eq!(ours, [row[0], row[1], row[2], row[5], row[8]]);
            if route.is_api() {
                assert_eq!([route.request, route.response], [row[6], row[7]], "{}", route.rpc);
                assert_eq!(route.has_query, row[4] != "-", "{}", route.rpc);
            }
        }
        assert_eq!(rows.next(), None, "a route is missing");
    }

    #[test]
    fn the_readme_lists_what_is_served() {
        const MARKS: [&str; 2] = ["<!-- served:begin -->\n", "<!-- served:end -->"];
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (before, rest) = readme.split_once(MARKS[0]).expect("the first mark");
        let (table, after) = rest.split_once(MARKS[1]).expect("the second mark");
        let mut expected = "| Method | Path | RPC |\n| --- | --- | --- |\n".to_owned();
        for (method, path, rpc) in served() {
            let rpc = if rpc == "-" { String::new() } else { format!("{rpc} ") };
            expected.push_str(&format!("| {method} | `{path}` | {rpc}|\n"));
        }
        if std::env::var_os("KIZUNA_BLESS").is_some() {
            std::fs::write(path, [before, MARKS[0], &expected, MARKS[1], after].concat()).unwrap();
        } else {
            assert_eq!(table, expected, "run this test with KIZUNA_BLESS=1 to write the table anew");
        }
    }
}
