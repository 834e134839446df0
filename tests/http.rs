//! HTTP as clients see it: routes, credentials, shapes of answers, cross-origin rules, compression.

mod common;

use common::{
    raw::{Answer, Server},
    text,
};
use flate2::{Compression, read::DeflateDecoder, read::GzDecoder, write::GzEncoder};
use std::io::{Read, Write};

/// `defaultkey:` as Basic.
const BASIC: &str = "authorization: Basic ZGVmYXVsdGtleTo=\r\n";

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n")
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

async fn sign_in(server: &Server) -> String {
    let answer = server.ask(&post("/v2/account/authenticate/custom?username=anna", BASIC, r#"{"id":"some-id"}"#)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    text(&answer.json()["token"]).to_owned()
}

#[tokio::test]
async fn a_player_signs_in_and_reads_the_account() {
    let server = Server::start().await;
    let token = sign_in(&server).await;
    let answer = server.ask(&get("/v2/account?ignored=%zz", &format!("authorization: Bearer {token}\r\n"))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["user"]["username"], "anna");
    assert_eq!(answer.header("cache-control"), Some("no-store, no-cache, must-revalidate"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("grpc-metadata-content-type"), Some("application/grpc"));
    assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
    assert!(answer.header("date").is_some());
    assert_eq!(answer.headers.len(), 6, "{:?}", answer.headers);
}

#[tokio::test]
async fn health_and_root_ask_for_nothing() {
    let server = Server::start().await;
    let answer = server.ask(&get("/healthcheck?x=%zz", "authorization: nonsense\r\n")).await;
    assert_eq!(answer.short(), (200, "{}"));
    let root = server.ask(&get("/", "")).await;
    assert_eq!(root.short(), (200, ""));
    assert_eq!(root.header("content-length"), Some("0"));
    assert_eq!(root.headers.len(), 2, "{:?}", root.headers);
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods() {
    let server = Server::start().await;
    let not_found = (404, r#"{"code":5,"message":"Not Found"}"#);
    let wrong_method = (501, r#"{"code":12,"message":"Method Not Allowed"}"#);
    for path in ["/v2/nothing", "/v2/account/", "/V2/account", "/ws/", "/v2/rpc", "/healthcheck/", "/v2/group/a%2Fb/x"]
    {
        assert_eq!(server.ask(&get(path, "")).await.short(), not_found, "{path}");
    }
    for (method, path) in [("POST", "/"), ("POST", "/ws"), ("FANCY", "/v2/nothing")] {
        let answer = server.ask(&format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert_eq!(answer.short(), not_found, "{method} {path}");
    }
    for (method, path) in
        [("PATCH", "/v2/account"), ("FANCY", "/healthcheck"), ("PUT", "/v2/rpc/x"), ("DELETE", "/v2/rpc/x")]
    {
        let answer = server.ask(&format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert_eq!(answer.short(), wrong_method, "{method} {path}");
        assert_eq!(answer.header("allow"), None);
    }
}

#[tokio::test]
async fn head_is_no_method_of_ours_and_its_answer_has_no_body() {
    let server = Server::start().await;
    let mut raw = server.connect().await;
    raw.send("HEAD /healthcheck HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let answer = raw.rest().await;
    assert!(answer.starts_with("HTTP/1.1 501 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn unclean_paths_are_moved_and_malformed_ones_refused() {
    let server = Server::start().await;
    let answer = server.ask(&post("//v2/./account/?a=%zz&b", "", "")).await;
    assert_eq!((answer.short(), answer.header("location")), ((301, ""), Some("/v2/account/?a=%zz&b")));
    let answer = server.ask(&get("/v2/acc%zzount", "")).await;
    assert_eq!(answer.short(), (400, "400 Bad Request"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn requests_are_read_before_credentials_are_asked_for() {
    let server = Server::start().await;
    let custom = "/v2/account/authenticate/custom";
    for (path, body, message) in [
        (custom, "{\"id\":\"abcdef", "unexpected EOF"),
        (custom, "null", "proto: syntax error (line 1:1): unexpected token null"),
        (
            "/v2/account/authenticate/custom?create=yes",
            "{}",
            "parsing field \"create\": strconv.ParseBool: parsing \"yes\": invalid syntax",
        ),
        ("/v2/account/authenticate/custom?username=%zz", "{}", "invalid URL escape \"%zz\""),
        ("/v2/account/authenticate/custom?username=a;b", "{}", "invalid semicolon separator in query"),
        ("/v2/account/authenticate/custom?username=a&username=b", "{}", "too many values for field \"username\": a, b"),
        ("/v2/account/link/custom", "[]", "proto: syntax error (line 1:1): unexpected token ["),
    ] {
        let answer = server.ask(&post(path, "", body)).await;
        assert_eq!((answer.status, answer.json()["message"].as_str()), (400, Some(message)), "{path} {body}");
    }
    let answer = server.ask(&post("/v2/account/authenticate/custom?username=a%FFb", BASIC, "{}")).await;
    assert_eq!(answer.status, 500);
    let answer = server.ask(&post(custom, "", "")).await;
    assert_eq!(answer.short(), (401, r#"{"code":16,"message":"Server key required"}"#));
    assert_eq!(answer.header("www-authenticate"), Some("Server key required"));
    let answer = server.ask(&post(custom, BASIC, "")).await;
    assert_eq!(answer.short(), (400, r#"{"code":3,"message":"Custom ID is required."}"#));
    assert_eq!(answer.header("grpc-metadata-content-type"), None);
}

#[tokio::test]
async fn the_body_is_one_field_and_the_query_cannot_reach_into_it() {
    let server = Server::start().await;
    let wrapped =
        post("/v2/account/authenticate/custom?account.id=abcdefgh", BASIC, r#"{"account":{"id":"abcdefgh"}}"#);
    let answer = server.ask(&wrapped).await;
    assert_eq!(answer.short(), (400, r#"{"code":3,"message":"Custom ID is required."}"#));
    let unread = server.ask(&post("/v2/account/link/custom?%zz", "", "{}")).await;
    assert_eq!(unread.short(), (401, r#"{"code":16,"message":"Auth token required"}"#));
}

#[tokio::test]
async fn routes_that_are_not_served_yet_say_so_to_those_who_may_ask() {
    let server = Server::start().await;
    assert_eq!(server.ask(&get("/v2/group", "")).await.status, 401);
    assert_eq!(server.ask(&get("/v2/group?limit=abc", "")).await.status, 400);
    let answer = server.ask(&get("/v2/group", &format!("authorization: Bearer {}\r\n", server.token()))).await;
    assert_eq!(answer.short(), (501, r#"{"code":12,"message":"ListGroups is not served yet."}"#));
}

#[tokio::test]
async fn rpc_has_errors_of_its_own_shape() {
    let server = Server::start().await;
    let error = |text: &str, code: i32| format!(r#"{{"error":"{text}","message":"{text}","code":{code}}}"#);
    let bearer = format!("authorization: Bearer {}\r\n", server.token());
    for (path, headers, status, text, code) in [
        ("/v2/rpc/f", "", 401, "Auth token or HTTP key required", 16),
        ("/v2/rpc/f?http_key=wrong", bearer.as_str(), 401, "HTTP key invalid", 16),
        ("/v2/rpc/f", "authorization: Bearer x\r\n", 401, "Auth token invalid", 16),
        ("/v2/rpc/?http_key=defaulthttpkey", "", 400, "RPC ID must be set", 3),
        ("/v2/rpc/f/g?http_key=defaulthttpkey", "", 404, "RPC function not found", 5),
        ("/v2/rpc/f", bearer.as_str(), 404, "RPC function not found", 5),
    ] {
        let answer = server.ask(&get(path, headers)).await;
        assert_eq!((answer.status, answer.text()), (status, error(text, code).as_str()), "{path}");
        assert_eq!(answer.header("www-authenticate"), None);
    }
}

#[tokio::test]
async fn a_form_may_stand_for_the_query_and_for_another_method() {
    let server = Server::start().await;
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let bearer = format!("{form}authorization: Bearer {}\r\n", server.token());
    let answer = server.ask(&post("/v2/user", &bearer, "ids=nonsense")).await;
    assert_eq!(answer.json()["message"], "ID 'nonsense' is not a valid system ID.", "POST falls back to GET");
    let answer = server.ask(&post("/v2/account", &format!("{bearer}x-http-method-override: get\r\n"), "")).await;
    assert_eq!(answer.short(), (404, r#"{"code":5,"message":"Account not found."}"#));
    let answer = server.ask(&post("/v2/account", &format!("{bearer}x-http-method-override: PATCH\r\n"), "")).await;
    assert_eq!(answer.status, 501);
    let json = bearer.replace("x-www-form-urlencoded", "json");
    let answer = server.ask(&post("/v2/account", &format!("{json}x-http-method-override: GET\r\n"), "")).await;
    assert_eq!(answer.status, 501, "only forms may");
    let answer = server.ask(&post("/v2/friend", &bearer, "ids=%zz")).await;
    assert_eq!(answer.json()["message"], "invalid URL escape \"%zz\"");
    let answer = server.ask(&post("/v2/friend", "content-type: application/\r\n", "")).await;
    assert_eq!(answer.json()["message"], "mime: expected token after slash");
    let custom = post("/v2/account/authenticate/custom", &format!("{form}{BASIC}"), r#"{"id":"form-typed"}"#);
    assert_eq!(server.ask(&custom).await.status, 200, "the type of a JSON body is not looked at");
}

#[tokio::test]
async fn any_page_may_call() {
    let server = Server::start().await;
    let origin = "origin: https://game.example\r\n";
    for path in ["/", "/v2/account", "/v2/nothing", "//", "/healthcheck"] {
        let answer = server.ask(&get(path, origin)).await;
        assert_eq!(answer.headers("access-control-allow-origin"), ["*"], "{path}");
        assert_eq!(server.ask(&get(path, "")).await.header("access-control-allow-origin"), None, "{path}");
    }
    let preflight = |headers: &str| format!("OPTIONS //anything HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    let answer = server.ask(&preflight("")).await;
    assert_eq!((answer.short(), answer.headers.len()), ((200, ""), 2));
    assert_eq!(server.ask(&preflight(origin)).await.status, 400);
    let asked = format!(
        "{origin}access-control-request-method: PUT\r\naccess-control-request-headers: authorization,content-type\r\n"
    );
    let answer = server.ask(&preflight(&asked)).await;
    assert_eq!(answer.short(), (200, ""));
    assert_eq!(answer.header("access-control-allow-methods"), Some("PUT"));
    assert_eq!(answer.header("access-control-allow-headers"), Some("Authorization,Content-Type"));
    assert_eq!(answer.headers("access-control-allow-origin"), ["*"]);
}

#[tokio::test]
async fn configured_headers_are_on_every_answer() {
    let headers = ["X-Frame-Options: DENY", "Cache-Control: private"].map(str::to_owned).to_vec();
    let server = Server::with(|config| config.socket.response_headers = headers).await;
    for request in [get("/", ""), get("/v2/nothing", ""), "OPTIONS / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()] {
        assert_eq!(server.ask(&request).await.header("x-frame-options"), Some("DENY"), "{request}");
    }
    assert_eq!(server.ask(&get("/healthcheck", "")).await.headers("cache-control").len(), 2);
}

fn inflated(answer: &Answer) -> String {
    let mut text = String::new();
    match answer.header("content-encoding") {
        Some("gzip") => GzDecoder::new(&*answer.body).read_to_string(&mut text).expect("a whole body"),
        Some("deflate") => DeflateDecoder::new(&*answer.body).read_to_string(&mut text).expect("a whole body"),
        other => panic!("{other:?}"),
    };
    text
}

#[tokio::test]
async fn answers_are_compressed_when_asked_for() {
    let server = Server::start().await;
    for encoding in ["gzip", "deflate"] {
        let asked = format!("accept-encoding: br, {encoding}\r\n");
        assert_eq!(inflated(&server.ask(&get("/healthcheck", &asked)).await), "{}");
        let error = server.ask(&get("/v2/nothing", &asked)).await;
        assert_eq!(inflated(&error), r#"{"code":5,"message":"Not Found"}"#);
        assert_eq!(server.ask(&get("/", &asked)).await.header("content-encoding"), None);
        let upgrading = format!("{asked}connection: upgrade\r\nupgrade: other\r\n");
        assert_eq!(server.ask(&get("/healthcheck", &upgrading)).await.short(), (200, "{}"));
    }
    assert_eq!(server.ask(&get("/healthcheck", "accept-encoding: gzip;q=0.5\r\n")).await.short(), (200, "{}"));
}

#[tokio::test]
async fn request_bodies_may_be_compressed() {
    let server = Server::start().await;
    let custom = |body: &[u8]| {
        let mut request = format!(
            "POST /v2/account/authenticate/custom HTTP/1.1\r\nhost: x\r\n{BASIC}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        request
    };
    let gzip = |text: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(server.ask_bytes(&custom(&gzip(br#"{"id":"gzipped-id"}"#))).await.status, 200);
    let plain = server.ask_bytes(&custom(br#"{"id":"gzipped-id"}"#)).await;
    assert_eq!(plain.short(), (400, r#"{"code":3,"message":"Custom ID is required."}"#));
    let bomb = [&br#"{"id":""#[..], &[b'a'; 3_000_000], br#""}"#].concat();
    let answer = server.ask_bytes(&custom(&gzip(&bomb))).await;
    assert_eq!((answer.status, answer.json()["code"].as_i64()), (429, Some(8)));
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status() {
    let server = Server::start().await;
    server.ask(&get("/v2/account?token=secret", "")).await;
    server.ask(&get("/v2/secret", "")).await;
    let count = |rpc, status| {
        let labels = kizuna::telemetry::RouteLabels { rpc, status };
        server.services.metrics.http_requests.get_or_create(&labels).get()
    };
    assert_eq!((count("GetAccount", 401), count("-", 404)), (1, 1));
    assert_eq!(server.services.metrics.http_in_flight.get(), 0);
}
