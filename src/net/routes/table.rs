//! The rows of the route table, in the order of contract/http_routes.tsv.

use super::{Auth, Body, Route, json, not_served, special};
use crate::{
    error::Error,
    features::{
        Client, Services, account, authenticate, friends, links, matches, matchmaker, notifications, parties,
        revocation, session, social, users,
    },
};
use kizuna_protocol::api;
#[cfg(test)]
use kizuna_protocol::json::JsonMessage;

/// Every route.
pub(in crate::net) static ROUTES: &[Route] = &routes! {
    POST "/v2/friend" AddFriends: session none query AddFriendsRequest => Empty, (friends::add_friends);
    POST "/v2/group/{group_id}/add" AddGroupUsers: session none query AddGroupUsersRequest => Empty, later;
    POST "/v2/account/session/refresh" SessionRefresh:
        server_key whole _ SessionRefreshRequest => Session, (session::session_refresh);
    POST "/v2/session/logout" SessionLogout: session whole _ SessionLogoutRequest => Empty, (revocation::session_logout);
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
    POST "/v2/friend/block" BlockFriends: session none query BlockFriendsRequest => Empty, (friends::block_friends);
    POST "/v2/group" CreateGroup: session whole _ CreateGroupRequest => Group, later;
    DELETE "/v2/account" DeleteAccount: session none _ Empty => Empty, (account::delete_account);
    DELETE "/v2/friend" DeleteFriends: session none query DeleteFriendsRequest => Empty, (friends::delete_friends);
    DELETE "/v2/group/{group_id}" DeleteGroup: session none _ DeleteGroupRequest => Empty, later;
    DELETE "/v2/leaderboard/{leaderboard_id}" DeleteLeaderboardRecord:
        session none _ DeleteLeaderboardRecordRequest => Empty, later;
    DELETE "/v2/notification" DeleteNotifications:
        session none query DeleteNotificationsRequest => Empty, (notifications::delete_notifications);
    DELETE "/v2/tournament/{tournament_id}" DeleteTournamentRecord:
        session none _ DeleteTournamentRecordRequest => Empty, later;
    PUT "/v2/storage/delete" DeleteStorageObjects: session whole _ DeleteStorageObjectsRequest => Empty, later;
    POST "/v2/event" Event: session whole _ Event => Empty, later;
    GET "/v2/account" GetAccount: session none _ Empty => Account, (account::get_account);
    GET "/v2/user" GetUsers: session none query GetUsersRequest => Users, (users::get_users);
    GET "/v2/iap/subscription/{product_id}" GetSubscription:
        session none _ GetSubscriptionRequest => ValidatedSubscription, later;
    GET "/v2/matchmaker/stats" GetMatchmakerStats: session none _ Empty => MatchmakerStats, (matchmaker::stats);
    GET "/healthcheck" Healthcheck: nobody none _ Empty => Empty, (healthcheck);
    POST "/v2/friend/facebook" ImportFacebookFriends:
        session (account) query ImportFacebookFriendsRequest => Empty, (social::import_facebook_friends);
    POST "/v2/friend/steam" ImportSteamFriends:
        session (account) query ImportSteamFriendsRequest => Empty, (social::import_steam_friends);
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
    GET "/v2/friend" ListFriends: session none query ListFriendsRequest => FriendList, (friends::list_friends);
    GET "/v2/friend/friends" ListFriendsOfFriends:
        session none query ListFriendsOfFriendsRequest => FriendsOfFriendsList, (friends::list_friends_of_friends);
    GET "/v2/group" ListGroups: session none query ListGroupsRequest => GroupList, later;
    GET "/v2/group/{group_id}/user" ListGroupUsers: session none query ListGroupUsersRequest => GroupUserList, later;
    GET "/v2/leaderboard/{leaderboard_id}" ListLeaderboardRecords:
        session none query ListLeaderboardRecordsRequest => LeaderboardRecordList, later;
    GET "/v2/leaderboard/{leaderboard_id}/owner/{owner_id}" ListLeaderboardRecordsAroundOwner:
        session none query ListLeaderboardRecordsAroundOwnerRequest => LeaderboardRecordList, later;
    GET "/v2/match" ListMatches: session none query ListMatchesRequest => MatchList, (matches::list_matches);
    GET "/v2/party" ListParties: session none query ListPartiesRequest => PartyList, (parties::list_parties);
    GET "/v2/notification" ListNotifications:
        session none query ListNotificationsRequest => NotificationList, (notifications::list_notifications);
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

/// Nothing is asked of anything behind the server: it answers, so it is well.
async fn healthcheck(_services: &Services, _client: &Client) -> Result<(), Error> {
    std::future::ready(Ok(())).await
}
