//! What the JSON form takes, what it refuses, and with which words: contract/README.md sections 3 to 5,
//! spec/realtime-core.md 3.3, spec/auth-and-accounts.md section 21.

use bytes::Bytes;
use kizuna_protocol::{
    api,
    json::{JsonMessage, Unknown},
    realtime::{self, Envelope, envelope::Message},
};
use prost_types::Timestamp;

fn lenient<M: JsonMessage>(text: impl AsRef<[u8]>) -> M {
    M::read_json(text.as_ref(), Unknown::Ignore).expect("the text is accepted")
}

fn refusal<M: JsonMessage>(text: impl AsRef<[u8]>) -> String {
    M::read_json(text.as_ref(), Unknown::Ignore).expect_err("the text is refused").to_string()
}

fn strict(text: &str) -> Option<Envelope> {
    Envelope::read_json(text.as_bytes(), Unknown::Reject).ok()
}

fn json(message: &impl JsonMessage) -> String {
    let mut out = Vec::new();
    message.write_json(&mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

mod written {
    use super::*;

    #[test]
    fn zero_values_are_left_out_and_names_are_in_snake_case() {
        assert_eq!(json(&api::Account::default()), "{}");
        assert_eq!(json(&api::FriendList::default()), "{}");
        let session = api::Session { created: true, token: "t".into(), refresh_token: "r".into() };
        assert_eq!(json(&session), r#"{"created":true,"token":"t","refresh_token":"r"}"#);
    }

    #[test]
    fn wrappers_are_bare_and_stay_when_they_are_zero() {
        let message = api::ChannelMessage { code: Some(0), persistent: Some(false), ..Default::default() };
        assert_eq!(json(&message), r#"{"code":0,"persistent":false}"#);
        let presence = realtime::UserPresence { status: Some(String::new()), ..Default::default() };
        assert_eq!(json(&presence), r#"{"status":""}"#);
    }

    #[test]
    fn wide_integers_are_strings_and_narrow_ones_are_numbers() {
        let record = api::LeaderboardRecord { score: -3, num_score: -7, max_num_score: u32::MAX, ..Default::default() };
        assert_eq!(json(&record), r#"{"score":"-3","num_score":-7,"max_num_score":4294967295}"#);
        let request = api::ListTournamentRecordsRequest { expiry: Some(0), ..Default::default() };
        assert_eq!(json(&request), r#"{"expiry":"0"}"#);
    }

    #[test]
    fn enums_are_numbers() {
        let board = api::Leaderboard { operator: api::Operator::Set as i32, ..Default::default() };
        assert_eq!(json(&board), r#"{"operator":2}"#);
    }

    #[test]
    fn bytes_are_padded_standard_base64() {
        let data =
            realtime::MatchDataSend { data: Bytes::from_static(b"\xff\xfe\xfd\x1a\x4f\x8f"), ..Default::default() };
        assert_eq!(json(&data), r#"{"data":"//79Gk+P"}"#);
        let data = realtime::MatchDataSend { data: Bytes::from_static(b"a"), ..Default::default() };
        assert_eq!(json(&data), r#"{"data":"YQ=="}"#);
    }

    #[test]
    fn an_envelope_without_message_has_its_cid_alone_and_an_empty_message_is_there() {
        assert_eq!(json(&Envelope { cid: "7".into(), message: None }), r#"{"cid":"7"}"#);
        let pong = Envelope { cid: "1".into(), message: Some(Message::Pong(realtime::Pong {})) };
        assert_eq!(json(&pong), r#"{"cid":"1","pong":{}}"#);
        let join = realtime::MatchJoin {
            id: Some(realtime::match_join::Id::Token(String::new())),
            metadata: [("b".into(), "2".into()), ("a".into(), "1".into())].into(),
        };
        assert_eq!(json(&join), r#"{"token":"","metadata":{"a":"1","b":"2"}}"#);
    }

    #[test]
    fn an_account_looks_as_nakama_writes_it() {
        let account = api::Account {
            user: Some(api::User {
                id: "u".into(),
                username: "n".into(),
                lang_tag: "en".into(),
                metadata: "{}".into(),
                create_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
                ..Default::default()
            }),
            wallet: "{}".into(),
            devices: vec![api::AccountDevice { id: "d".into(), ..Default::default() }],
            ..Default::default()
        };
        let expected = concat!(
            r#"{"user":{"id":"u","username":"n","lang_tag":"en","metadata":"{}","create_time":"2023-11-14T22:13:20Z"},"#,
            r#""wallet":"{}","devices":[{"id":"d"}]}"#
        );
        assert_eq!(json(&account), expected);
    }
}

mod over_http {
    use super::*;
    use api::{AccountCustom, Event, ListLeaderboardRecordsRequest, UpdateAccountRequest};

    #[test]
    fn no_text_is_an_empty_message() {
        for text in ["", " \r\n\t", "{}", "{ }", r#"{"id":null}"#, r#"{"ID":"abcdefgh"}"#] {
            assert_eq!(lenient::<AccountCustom>(text), AccountCustom::default(), "{text}");
        }
    }

    #[test]
    fn both_spellings_of_a_name_are_known() {
        for text in [r#"{"display_name":"a"}"#, r#"{"displayName":"a"}"#, r#"{"display\u004eame":"a"}"#] {
            assert_eq!(lenient::<UpdateAccountRequest>(text).display_name.as_deref(), Some("a"), "{text}");
        }
    }

    #[test]
    fn what_follows_the_first_value_is_ignored() {
        for text in [r#"{"id":"a"} x"#, r#"{"id":"a"}{"id":"b"}"#, "{\"id\":\"a\"}\u{0}"] {
            assert_eq!(lenient::<AccountCustom>(text).id, "a", "{text}");
        }
    }

    #[test]
    fn unknown_members_are_skipped_at_any_depth_and_any_number_of_times() {
        let nested = format!(r#"{{"x":{}{},"x":1,"id":"a","vars":{{}}}}"#, "[".repeat(9990), "]".repeat(9990));
        assert_eq!(lenient::<AccountCustom>(&nested).id, "a");
        let text = r#"{"x":{"id":[{"a":"]}"},-1.5e3,null,true,"\u00e9"]},"id":"a"}"#;
        assert_eq!(lenient::<AccountCustom>(text).id, "a");
        let too_deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
        assert_eq!(refusal::<AccountCustom>(too_deep), "exceeded max depth");
    }

    #[test]
    fn the_top_level_is_an_object() {
        for (text, token) in [("null", "null"), ("[]", "["), (r#""abc""#, r#""abc""#), ("5", "5"), ("true", "true")] {
            let message = format!("proto: syntax error (line 1:1): unexpected token {token}");
            assert_eq!(refusal::<AccountCustom>(text), message);
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        for (text, message) in [
            (r#"{"id":123456}"#, "proto: (line 1:7): invalid value for string field id: 123456"),
            (r#"{"id":{}}"#, "proto: (line 1:7): invalid value for string field id: {"),
            (r#"{"id":true}"#, "proto: (line 1:7): invalid value for string field id: true"),
            (r#"{"id":"a","id":"b"}"#, r#"proto: (line 1:11): duplicate field "id""#),
            (r#"{"id":null,"id":"b"}"#, r#"proto: (line 1:12): duplicate field "id""#),
            (r#"{"vars":{"a":1}}"#, "proto: (line 1:14): invalid value for string field value: 1"),
            (r#"{"vars":{"a":null}}"#, "proto: (line 1:14): invalid value for string field value: null"),
            (r#"{"vars":{"a":"1","a":"2"}}"#, r#"proto: (line 1:18): duplicate map key "a""#),
            (r#"{"vars":[]}"#, "proto: syntax error (line 1:9): unexpected token ["),
            ("{\"vars\":{},\n \"é\":1, \"id\":1}", "proto: (line 2:14): invalid value for string field id: 1"),
        ] {
            assert_eq!(refusal::<AccountCustom>(text), message);
        }
        let text = r#"{"display_name":"a","displayName":"b"}"#;
        assert_eq!(refusal::<UpdateAccountRequest>(text), r#"proto: (line 1:21): duplicate field "displayName""#);
        let text = r#"{"display_name":{"value":"x"}}"#;
        assert_eq!(
            refusal::<UpdateAccountRequest>(text),
            "proto: (line 1:17): invalid value for string field value: {"
        );
    }

    #[test]
    fn a_syntax_error_anywhere_comes_before_a_wrong_value() {
        for (text, message) in [
            (&br#"{"id":"abcdef"#[..], "unexpected EOF"),
            (br#"{"id":1,}"#, "invalid character '}' looking for beginning of object key string"),
            (b"{\"id\":1,\"x\":\"\x01\"}", r"invalid character '\x01' in string"),
        ] {
            assert_eq!(refusal::<AccountCustom>(text), message);
        }
    }

    #[test]
    fn strings_are_utf8_without_half_surrogates_even_where_they_are_skipped() {
        let invalid = "proto: syntax error (line 1:7): invalid UTF-8 in string";
        assert_eq!(refusal::<AccountCustom>(b"{\"id\":\"\xff\xfe\"}"), invalid);
        assert_eq!(
            refusal::<AccountCustom>(r#"{"id":"su-\ud800abcdef"}"#),
            r#"proto: syntax error (line 1:7): invalid escape code "abcdef" in string"#
        );
        for text in [
            &b"{\"x\":\"\xff\"}"[..],
            b"{\"x\":[\"\xed\xa0\x80\"]}",
            b"{\"\xff\":1}",
            br#"{"x":"\udc00"}"#,
            br#"{"x":"\ud800\ud800"}"#,
            br#"{"id":"\ud83d"}"#,
            br#"{"id":"\ud83d\n12345"}"#,
        ] {
            refusal::<AccountCustom>(text);
        }
        assert_eq!(lenient::<AccountCustom>(r#"{"id":"\ud83d\ude00\u0000\/\b"}"#).id, "😀\0/\u{8}");
    }

    #[test]
    fn an_earlier_wrong_value_comes_before_invalid_utf8() {
        let message = refusal::<AccountCustom>(b"{\"id\":5,\"x\":\"\xff\"}");
        assert_eq!(message, "proto: (line 1:7): invalid value for string field id: 5");
    }

    #[test]
    fn timestamps_are_rfc_3339() {
        let time = lenient::<Event>(r#"{"timestamp":"2023-11-14T23:13:20.5+01:00"}"#).timestamp;
        assert_eq!(time, Some(Timestamp { seconds: 1_700_000_000, nanos: 500_000_000 }));
        assert_eq!(
            refusal::<Event>(r#"{"name":"e","timestamp":"2026-01-01"}"#),
            r#"proto: (line 1:25): invalid google.protobuf.Timestamp value "2026-01-01""#
        );
        assert_eq!(refusal::<Event>(r#"{"timestamp":5}"#), "proto: syntax error (line 1:14): unexpected token 5");
    }

    #[test]
    fn integers_are_numbers_or_strings_of_numbers() {
        for text in ["5", "\"5\"", "5.0", "\"5.0\"", "50e-1", "\"0.5e1\""] {
            let body = format!(r#"{{"limit":{text},"expiry":{text}}}"#);
            let request: ListLeaderboardRecordsRequest = lenient(&body);
            assert_eq!((request.limit, request.expiry), (Some(5), Some(5)), "{text}");
        }
        for text in ["5.5", "2147483648", "\" 5\"", "\"5 \"", "\"\"", "\"x\"", "true", "{}", "[]", "1e99", "\"+5\""] {
            let message = refusal::<ListLeaderboardRecordsRequest>(format!(r#"{{"limit":{text}}}"#));
            assert!(message.starts_with("proto: (line 1:10): invalid value for int32 field value: "), "{message}");
        }
        refusal::<api::Leaderboard>(r#"{"sort_order":-1}"#);
        assert_eq!(lenient::<api::Leaderboard>(r#"{"sort_order":4294967295}"#).sort_order, u32::MAX);
    }

    #[test]
    fn an_operator_is_a_name_or_a_number_and_an_unknown_name_is_none() {
        let operator = |text: &str| {
            let body = format!(r#"{{"operator":{text}}}"#);
            lenient::<api::write_leaderboard_record_request::LeaderboardRecordWrite>(body).operator
        };
        assert_eq!(operator("\"BEST\""), 1);
        assert_eq!(operator("2"), 2);
        assert_eq!(operator("77"), 77);
        assert_eq!(operator("\"WORST\""), 0);
        assert_eq!(operator("null"), 0);
        let message = refusal::<api::Leaderboard>(r#"{"operator":true}"#);
        assert_eq!(message, "proto: (line 1:13): invalid value for enum field operator: true");
    }

    #[test]
    fn null_is_absent_but_not_in_a_list() {
        assert!(lenient::<api::AddFriendsRequest>(r#"{"ids":null}"#).ids.is_empty());
        assert_eq!(lenient::<api::AuthenticateCustomRequest>(r#"{"account":null,"create":null}"#), Default::default());
        assert_eq!(
            refusal::<api::AddFriendsRequest>(r#"{"ids":[null]}"#),
            "proto: (line 1:9): invalid value for string field ids: null"
        );
        assert_eq!(
            refusal::<api::ReadStorageObjectsRequest>(r#"{"object_ids":[null]}"#),
            "proto: syntax error (line 1:16): unexpected token null"
        );
    }
}

mod on_the_socket {
    use super::*;

    fn match_data(text: &str) -> Option<realtime::MatchDataSend> {
        match strict(&format!(r#"{{"match_data_send":{text}}}"#))?.message? {
            Message::MatchDataSend(data) => Some(data),
            other => panic!("not match data: {other:?}"),
        }
    }

    #[test]
    fn both_spellings_and_blanks_around_are_taken() {
        for text in [
            r#"{"match_create":{}}"#,
            r#"{"matchCreate":{}}"#,
            " \t\r\n{ \"match_create\" : { } }\n",
            r#"{"match_create":{"name":null},"cid":null}"#,
            r#"{"ping":null,"match_create":{}}"#,
        ] {
            let message = strict(text).expect(text).message;
            assert!(matches!(message, Some(Message::MatchCreate(_))), "{text}");
        }
        assert_eq!(strict(r#"{"match_create":null}"#), Some(Envelope::default()));
        assert_eq!(strict("{}"), Some(Envelope::default()));
    }

    #[test]
    fn what_is_not_one_strict_object_is_refused() {
        for text in [
            "",
            " ",
            "null",
            "[]",
            "5",
            "\"x\"",
            "{",
            "{\"cid\"",
            "{\"cid\":",
            "{\"cid\":\"1",
            "{\"cid\":\"1\"",
            "\u{feff}{}",
            "{} x",
            "{}{}",
            "{}\0",
            "{/**/}",
            "{},",
            r#"{"cid":"1",}"#,
            r#"{,"cid":"1"}"#,
            r#"{"cid" "1"}"#,
            r#"{"cid":"1" "ping":{}}"#,
            r#"{cid:"1"}"#,
            r#"{'cid':'1'}"#,
            r#"{"Cid":"1"}"#,
            r#"{"cid":1}"#,
            r#"{"cid":"\ud800"}"#,
            r#"{"cid":"\x"}"#,
            r#"{"cid":"\u12"}"#,
            "{\"cid\":\"\u{1}\"}",
            r#"{"cid":"1","cid":"1"}"#,
            r#"{"cid":null,"cid":"1"}"#,
            r#"{"x":1}"#,
            r#"{"ping":{"x":1}}"#,
            r#"{"ping":{},"pong":{}}"#,
            r#"{"ping":{},"ping":{}}"#,
            r#"{"match_create":{},"matchCreate":null}"#,
            r#"{"match_create":[]}"#,
            r#"{"match_join":{"match_id":"a","token":"b"}}"#,
            r#"{"match_join":{"metadata":{"a":1}}}"#,
            r#"{"match_join":{"metadata":{"a":"1","a":"1"}}}"#,
            r#"{"match_join":{"metadata":{"a":null}}}"#,
            r#"{"match_join":{"metadata":{"a":"1",}}}"#,
            r#"{"status_update":{"status":{"value":"x"}}}"#,
            r#"{"status_update":{"status":5}}"#,
            r#"{"match_data_send":{"presences":[{"node":"n"}]}}"#,
            r#"{"match_data_send":{"presences":[null]}}"#,
            r#"{"match_data_send":{"presences":[{},]}}"#,
            r#"{"match_data_send":{"presences":[{} {}]}}"#,
            r#"{"match_data_send":{"presences":{}}}"#,
            r#"{"party_create":{"open":"true"}}"#,
            r#"{"party_create":{"open":1}}"#,
            r#"{"party_create":{"open":truex}}"#,
        ] {
            assert_eq!(strict(text), None, "{text}");
        }
        assert!(Envelope::read_json(b"{\"cid\":\"\xff\"}", Unknown::Reject).is_err());
        assert!(Envelope::read_json(b"{}\xff", Unknown::Reject).is_err());
    }

    #[test]
    fn op_codes_are_numbers_or_strings_of_them() {
        for (text, value) in [
            ("1", 1),
            ("\"1\"", 1),
            ("1.0", 1),
            ("1e2", 100),
            ("\"1e2\"", 100),
            ("-5", -5),
            ("9007199254740993", 9_007_199_254_740_993),
            ("\"9223372036854775807\"", i64::MAX),
            ("null", 0),
        ] {
            assert_eq!(match_data(&format!(r#"{{"op_code":{text}}}"#)).expect(text).op_code, value, "{text}");
        }
        for text in ["1.5", "\"\"", "\" 1\"", "true", "9223372036854775808", "01", "+1", "1.", ".5", "1e", "0x1", "NaN"]
        {
            assert_eq!(match_data(&format!(r#"{{"op_code":{text}}}"#)), None, "{text}");
        }
    }

    #[test]
    fn data_is_base64_in_either_alphabet() {
        for text in ["++++AA==", "----AA==", "++++AA", "----AA", r"\u002b+++AA"] {
            let data = match_data(&format!(r#"{{"data":"{text}"}}"#)).expect(text).data;
            assert_eq!(&data[..], b"\xfb\xef\xbe\x00", "{text}");
        }
        for text in ["\"+-AA\"", "\"Y Q=\"", "\"!\"", "[1,2]", "5", "{}"] {
            assert_eq!(match_data(&format!(r#"{{"data":{text}}}"#)), None, "{text}");
        }
    }

    #[test]
    fn a_match_message_is_read_whole() {
        let text = r#"{"match_id":"m.","op_code":"1","data":"aGk=","presences":[{"user_id":"u","session_id":"s"}],"reliable":true}"#;
        let expected = realtime::MatchDataSend {
            match_id: "m.".into(),
            op_code: 1,
            data: Bytes::from_static(b"hi"),
            presences: vec![realtime::UserPresence {
                user_id: "u".into(),
                session_id: "s".into(),
                ..Default::default()
            }],
            reliable: true,
        };
        assert_eq!(match_data(text), Some(expected));
        assert!(match_data(r#"{"presences":null,"data":null,"reliable":false}"#).is_some());
    }

    #[test]
    fn doubles_are_numbers_or_strings_of_them() {
        let property = |text: &str| {
            let add = strict(&format!(r#"{{"matchmaker_add":{{"numeric_properties":{{"a":{text}}}}}}}"#))?.message?;
            let Message::MatchmakerAdd(add) = add else { panic!("not a matchmaker_add") };
            add.numeric_properties.get("a").copied()
        };
        for (text, value) in [("5", 5.0), ("\"1.5\"", 1.5), ("-1e-3", -0.001), ("\"Infinity\"", f64::INFINITY)] {
            assert_eq!(property(text), Some(value), "{text}");
        }
        assert!(property("\"NaN\"").is_some_and(f64::is_nan));
        for text in ["true", "\"\"", "\"x\"", "1e999", "\"inf\"", "\" 5\"", "NaN", "null"] {
            assert_eq!(property(text), None, "{text}");
        }
    }

    #[test]
    fn a_pseudo_enum_takes_numbers_and_never_names() {
        assert!(strict(r#"{"channel_join":{"type":1}}"#).is_some());
        assert!(strict(r#"{"channel_join":{"type":"1"}}"#).is_some());
        assert!(strict(r#"{"channel_join":{"type":"ROOM"}}"#).is_none());
    }

    #[test]
    fn why_a_frame_is_refused_is_said_for_the_log() {
        let why = |text: &str| Envelope::read_json(text.as_bytes(), Unknown::Reject).unwrap_err().to_string();
        assert_eq!(why(r#"{"x":1}"#), r#"proto: (line 1:2): unknown field "x""#);
        assert_eq!(
            why(r#"{"ping":{},"pong":{}}"#),
            r#"proto: (line 1:12): error parsing "pong", oneof nakama.realtime.Envelope.message is already set"#
        );
        assert_eq!(why("{}{}"), "proto: syntax error (line 1:3): unexpected token {");
        assert_eq!(why(""), "unexpected EOF");
    }
}

mod from_queries {
    use super::*;
    use api::{AuthenticateCustomRequest, GetUsersRequest, ListFriendsRequest, ListTournamentsRequest};

    fn set<M: JsonMessage>(name: &str, values: &[&str]) -> Result<Option<M>, String> {
        let mut message = M::default();
        let known = message.set_from_text(name, values).map_err(|error| error.to_string())?;
        Ok(known.then_some(message))
    }

    fn why<M: JsonMessage>(name: &str, values: &[&str]) -> String {
        set::<M>(name, values).expect_err("the value is refused")
    }

    #[test]
    fn both_spellings_and_the_inside_of_a_wrapper_are_known() {
        for name in ["limit", "limit.value"] {
            assert_eq!(set::<ListFriendsRequest>(name, &["5"]).unwrap().unwrap().limit, Some(5), "{name}");
        }
        for name in ["category_start", "categoryStart", "categoryStart.value"] {
            assert_eq!(set::<ListTournamentsRequest>(name, &["5"]).unwrap().unwrap().category_start, Some(5), "{name}");
        }
        let request = set::<AuthenticateCustomRequest>("account.id", &["x"]).unwrap().unwrap();
        assert_eq!(request.account.unwrap().id, "x");
    }

    #[test]
    fn unknown_names_are_no_error_and_change_nothing() {
        for name in ["", "x", "Limit", "limit.x", "account.x", "a.b.c", "x[y]", "."] {
            assert_eq!(set::<AuthenticateCustomRequest>(name, &["5"]), Ok(None), "{name}");
            assert_eq!(set::<ListFriendsRequest>(name, &["5"]), Ok(None), "{name}");
            assert_eq!(set::<realtime::Ping>(name, &["5"]), Ok(None), "{name}");
        }
    }

    #[test]
    fn bools_have_six_spellings_each() {
        for (texts, value) in
            [(["1", "t", "T", "TRUE", "true", "True"], true), (["0", "f", "F", "FALSE", "false", "False"], false)]
        {
            for text in texts {
                let request = set::<AuthenticateCustomRequest>("create", &[text]).unwrap().unwrap();
                assert_eq!(request.create, Some(value), "{text}");
            }
        }
        for text in ["yes", "", "null", "2", "tRUE"] {
            let expected = format!(r#"parsing field "create": strconv.ParseBool: parsing "{text}": invalid syntax"#);
            assert_eq!(why::<AuthenticateCustomRequest>("create", &[text]), expected);
        }
    }

    #[test]
    fn numbers_are_named_when_they_are_none() {
        for (text, problem) in [("abc", "invalid syntax"), ("", "invalid syntax"), ("3000000000", "value out of range")]
        {
            let expected = format!(r#"parsing field "limit": strconv.ParseInt: parsing "{text}": {problem}"#);
            assert_eq!(why::<ListFriendsRequest>("limit", &[text]), expected);
        }
        assert_eq!(
            why::<ListTournamentsRequest>("categoryStart", &["-1"]),
            r#"parsing field "category_start": strconv.ParseUint: parsing "-1": invalid syntax"#
        );
        assert_eq!(
            why::<ListFriendsRequest>("limit.value", &["x"]),
            r#"parsing field "value": strconv.ParseInt: parsing "x": invalid syntax"#
        );
    }

    #[test]
    fn one_field_takes_one_value_and_a_list_takes_all() {
        assert_eq!(
            why::<AuthenticateCustomRequest>("create", &["true", "false"]),
            r#"too many values for field "create": true, false"#
        );
        let request = set::<GetUsersRequest>("ids", &["a", "b,c", ""]).unwrap().unwrap();
        assert_eq!(request.ids, ["a", "b,c", ""]);
    }

    #[test]
    fn a_key_in_brackets_names_a_map_entry_or_is_one_more_element() {
        let mut request = AuthenticateCustomRequest::default();
        assert_eq!(request.set_from_text("account.vars[a.b]", &["1"]), Ok(true));
        assert_eq!(request.set_from_text("account.vars[c]", &["2"]), Ok(true));
        let vars = request.account.unwrap().vars;
        assert_eq!(vars, [("a.b".to_owned(), "1".to_owned()), ("c".into(), "2".into())].into());
        assert_eq!(set::<GetUsersRequest>("ids[a]", &["b"]).unwrap().unwrap().ids, ["a", "b"]);
        assert_eq!(
            why::<api::AccountCustom>("vars[a]", &["1", "2"]),
            r#"more than one value provided for key "a" in map "vars""#
        );
        assert_eq!(
            why::<AuthenticateCustomRequest>("username[a]", &["b"]),
            r#"too many values for field "username": a, b"#
        );
    }

    #[test]
    fn what_text_cannot_set_is_said() {
        assert_eq!(
            why::<AuthenticateCustomRequest>("account", &["x"]),
            r#"parsing field "account": unsupported message type: "nakama.api.AccountCustom""#
        );
        assert_eq!(
            why::<AuthenticateCustomRequest>("username.x", &["x"]),
            r#"invalid path: "username" is not a message"#
        );
        assert_eq!(why::<ListFriendsRequest>("limit.value.x", &["1"]), r#"invalid path: "value" is not a message"#);
        assert_eq!(why::<GetUsersRequest>("ids.x", &["1"]), r#"invalid path: "ids" is not a message"#);
    }

    #[test]
    fn one_member_of_a_oneof_can_be_set_once() {
        let mut join = realtime::MatchJoin::default();
        assert_eq!(join.set_from_text("matchId", &["m"]), Ok(true));
        let error = join.set_from_text("token", &["t"]).unwrap_err();
        assert_eq!(error.to_string(), r#"field already set for oneof "id""#);
    }
}
