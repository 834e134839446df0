use super::*;
use proptest::prelude::*;
use serde_json::json;

fn entry(toml: &str) -> TrustEntry {
    toml::from_str(toml).expect("a trust entry")
}

fn mapped(toml: &str, claims: &Value) -> Result<Mapped, Reason> {
    let mapping = Mapping::new(&entry(toml), 1_024).expect("it maps something");
    mapping.apply(claims.as_object().expect("an object")).map_err(|fault| fault.reason)
}

/// The value of `idp.x`.
fn x(rule: &str, claims: &Value) -> Result<Option<String>, Reason> {
    mapped(&format!("vars.x = {rule}"), claims).map(|mapped| mapped.vars.get("idp.x").cloned())
}

fn text(value: &str) -> Result<Option<String>, Reason> {
    Ok(Some(value.to_owned()))
}

#[test]
fn an_entry_that_maps_nothing_has_no_mapping() {
    assert!(Mapping::new(&TrustEntry::default(), 1_024).is_none());
}

#[test]
fn the_first_claim_that_is_there_counts() {
    let rule = r#"{ claims = ["custom:tier", "tier"] }"#;
    assert_eq!(x(rule, &json!({ "tier": "gold" })), text("gold"));
    assert_eq!(x(rule, &json!({ "tier": "gold", "custom:tier": "lead" })), text("lead"));
    assert_eq!(x(rule, &json!({ "tier": "gold", "custom:tier": null })), text("gold"), "null is not there");
    assert_eq!(x(rule, &json!({ "tier": "gold", "custom:tier": 1 })), Err(Reason::ClaimType), "it is there, and wrong");
}

#[test]
fn a_name_is_a_claim_and_a_list_is_a_path() {
    let url = r#"{ claims = ["https://game.example/role"] }"#;
    assert_eq!(x(url, &json!({ "https://game.example/role": "gm" })), text("gm"));
    let dotted = r#"{ claims = ["a.b"] }"#;
    assert_eq!(x(dotted, &json!({ "a.b": "name", "a": { "b": "path" } })), text("name"));
    let path = r#"{ claims = [["a", "b"]] }"#;
    assert_eq!(x(path, &json!({ "a.b": "name", "a": { "b": "path" } })), text("path"));
    for otherwise in [json!({ "a": "b" }), json!({ "a": ["b"] }), json!({ "a": {} }), json!({ "a": { "b": null } })] {
        assert_eq!(x(path, &otherwise), Ok(None), "{otherwise}");
    }
}

#[test]
fn a_claim_of_another_type_refuses_even_where_it_is_not_required() {
    for (kind, wrong) in [
        ("string", json!([1, true, {}, [], "a\nb"])),
        ("number", json!([true, "", "x", " 1", "1 ", "0x1", "NaN", "1,5", {}, []])),
        ("bool", json!([0, 1, "True", "yes", "", {}, []])),
        ("list", json!(["a", "", 1, {}, [1], ["a", null], ["a,b"], [""], ["a\u{0}"], [["a"]]])),
        ("scope", json!([1, {}, [1], ["a b"], [""], "a\tb"])),
    ] {
        for value in wrong.as_array().expect("a list") {
            let rule = format!(r#"{{ claims = ["c"], type = "{kind}" }}"#);
            assert_eq!(x(&rule, &json!({ "c": value })), Err(Reason::ClaimType), "{kind}: {value}");
        }
    }
}

#[test]
fn numbers_and_truth_may_come_as_text_since_some_providers_have_nothing_else() {
    let number = r#"{ claims = ["c"], type = "number" }"#;
    for (value, expected) in [(json!(7), "7"), (json!("7"), "7"), (json!(-1.5), "-1.5"), (json!("-1.5e3"), "-1.5e3")] {
        assert_eq!(x(number, &json!({ "c": value })), text(expected));
    }
    let truth = r#"{ claims = ["c"], type = "bool" }"#;
    for (value, expected) in [(json!(true), "true"), (json!("true"), "true"), (json!(false), "false")] {
        assert_eq!(x(truth, &json!({ "c": value })), text(expected), "as Apple and others write it");
    }
}

#[test]
fn lists_and_scopes_are_joined_and_an_empty_one_is_none() {
    let list = r#"{ claims = ["c"], type = "list" }"#;
    assert_eq!(x(list, &json!({ "c": ["a", "b c"] })), text("a,b c"));
    assert_eq!(x(list, &json!({ "c": [] })), Ok(None));
    let required = r#"{ claims = ["c"], type = "list", required = true }"#;
    assert_eq!(x(required, &json!({ "c": [] })), Err(Reason::ClaimMissing), "no groups is no group");
    let scope = r#"{ claims = ["c"], type = "scope" }"#;
    assert_eq!(x(scope, &json!({ "c": "openid  play" })), text("openid play"));
    assert_eq!(x(scope, &json!({ "c": ["openid", "play"] })), text("openid play"), "as Okta writes it");
    assert_eq!(x(scope, &json!({ "c": "" })), Ok(None));
}

#[test]
fn a_value_must_be_one_of_those_allowed_and_a_required_claim_must_be_there() {
    let rule = r#"{ claims = ["c"], any_of = ["gm", "player"], required = true }"#;
    assert_eq!(x(rule, &json!({ "c": "gm" })), text("gm"));
    assert_eq!(x(rule, &json!({ "c": "GM" })), Err(Reason::ClaimValue));
    assert_eq!(x(rule, &json!({})), Err(Reason::ClaimMissing));
    let list = r#"{ claims = ["c"], type = "list", any_of = ["players", "staff"], keep = ["staff", "beta"] }"#;
    assert_eq!(x(list, &json!({ "c": ["players", "beta", "other"] })), text("beta"));
    assert_eq!(x(list, &json!({ "c": ["players"] })), Ok(None), "allowed, and nothing to keep");
    assert_eq!(x(list, &json!({ "c": ["beta"] })), Err(Reason::ClaimValue));
}

#[test]
fn too_long_a_value_is_never_cut() {
    let groups = json!({ "c": ["aaaa", "bbbb"] });
    let rule =
        |overflow: &str| format!(r#"{{ claims = ["c"], type = "list", max_bytes = 8, overflow = "{overflow}" }}"#);
    assert_eq!(x(&rule("refuse"), &groups), Err(Reason::VarTooLong));
    let omitted = mapped(&format!("vars.x = {}", rule("omit")), &groups).expect("without it");
    assert_eq!(omitted.vars, BTreeMap::from([("idp.x_omitted".to_owned(), "true".to_owned())]));
    let many: String = (0..8).map(|n| format!("vars.v{n} = {{ claims = [\"c\"], max_bytes = 200 }}\n")).collect();
    assert_eq!(mapped(&many, &json!({ "c": "v".repeat(200) })), Err(Reason::VarsTooLong));
}

#[test]
fn a_tenant_is_one_text_that_is_believed_and_never_missing() {
    let rule = r#"tenant = { claims = ["org", ["firebase", "tenant"]], any_of = ["acme", "bolt"] }"#;
    let tenant = |claims: Value| mapped(rule, &claims).map(|mapped| mapped.tenant);
    assert_eq!(tenant(json!({ "org": "acme" })), text("acme"));
    assert_eq!(tenant(json!({ "firebase": { "tenant": "bolt" } })), text("bolt"));
    for wrong in [
        json!({}),
        json!({ "org": "" }),
        json!({ "org": "Acme" }),
        json!({ "org": ["acme"] }),
        json!({ "org": 1 }),
        json!({ "org": "other" }),
        json!({ "org": { "acme": true } }),
    ] {
        assert_eq!(tenant(wrong.clone()), Err(Reason::Tenant), "{wrong}");
    }
    let any = |name: &str| mapped(r#"tenant = { claims = ["org"] }"#, &json!({ "org": name }));
    for odd in ["a\nb".to_owned(), "a\u{202e}b".to_owned(), "x".repeat(129)] {
        assert_eq!(any(&odd), Err(Reason::Tenant));
    }
    assert_eq!(mapped(r#"tenant = { value = "acme" }"#, &json!({})).expect("fixed").tenant.as_deref(), Some("acme"));
}

#[test]
fn a_username_is_a_wish_and_never_refuses() {
    let rule = r#"username = ["nickname", "name"]"#;
    let name = |claims: Value| mapped(rule, &claims).expect("never refused").username;
    assert_eq!(name(json!({ "name": "Ann" })).as_deref(), Some("Ann"));
    assert_eq!(name(json!({ "nickname": 7, "name": "Ann" })), None);
    assert_eq!(name(json!({})), None);
}

#[test]
fn the_version_follows_the_mapping_and_nothing_else() {
    let version = |toml: &str| Mapping::new(&entry(toml), 1_024).expect("maps").version;
    let one = version(r#"vars.x = { claims = ["c"] }"#);
    assert_eq!(one, version("name = \"other\"\nvars.x = { claims = [\"c\"], type = \"string\" }"));
    assert_ne!(one, version(r#"vars.x = { claims = ["d"] }"#));
    assert_ne!(one, version(r#"vars.x = { claims = ["c"], required = true }"#));
    assert_ne!(one, 0);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[a-c ,]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_the_claims_are_a_mapping_refuses_or_keeps_its_bounds(
        a in any_json(), b in any_json(), kind in prop::sample::select(vec!["string", "number", "bool", "list", "scope"]),
    ) {
        let toml = format!(
            "username = [\"a\"]\n[vars]\nx = {{ claims = [[\"a\", \"b\"], \"a\", \"b\"], type = \"{kind}\", max_bytes = 9 }}\n\
             y = {{ claims = [\"b\"], type = \"{kind}\", overflow = \"omit\", max_bytes = 4 }}\n"
        );
        if let Ok(mapped) = mapped(&toml, &json!({ "a": a, "b": b })) {
            for (name, value) in &mapped.vars {
                prop_assert!(["idp.x", "idp.y", "idp.y_omitted"].contains(&name.as_str()));
                prop_assert!(value.len() <= 9 && !value.chars().any(char::is_control));
            }
        }
    }
}
