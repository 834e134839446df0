//! The tables of spec/matchmaker.md 8 and the observed queries of spec/realtime-core.md 10.4.

use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::ops::ControlFlow;

fn query(text: &str) -> Query {
    Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn score(text: &str, document: &Document) -> Option<f64> {
    query(text).score(document)
}

fn fits(text: &str, document: &Document) -> bool {
    score(text, document).is_some()
}

fn fault(text: &str) -> (usize, QueryFault) {
    let error = Query::parse(text).err().unwrap_or_else(|| panic!("{text} is taken for a query"));
    (error.at, error.fault)
}

#[test]
fn nothing_and_a_star_ask_for_everything() {
    for document in [Document::new(), Document::new().term("a", "x")] {
        assert_eq!(score("", &document), Some(1.0));
        assert_eq!(score("*", &document), Some(1.0));
        assert_eq!(score(" *", &document), None);
        assert_eq!(score("+*", &document), None);
    }
}

#[test]
fn what_does_not_parse_says_where() {
    const BASE: &str = "a field or a value";
    for (text, at, expected) in [
        ("a:", 2, QueryFault::Unfinished("a value")),
        ("a:b:c", 3, QueryFault::Expected(BASE)),
        ("a:=1", 2, QueryFault::Expected("a value")),
        ("a:>x", 3, QueryFault::Expected("a number")),
        ("a:>.5", 3, QueryFault::Expected("a number")),
        ("a:-foo", 3, QueryFault::Expected("a number")),
        ("a:+3", 2, QueryFault::Expected("a value")),
        ("a:>1e2", 3, QueryFault::Expected("a number")),
        ("a:>", 3, QueryFault::Unfinished("a number")),
        ("a:>=", 4, QueryFault::Unfinished("a number")),
        ("a:>=-", 5, QueryFault::Unfinished("a number")),
        ("+", 1, QueryFault::Unfinished(BASE)),
        ("b:1 -", 5, QueryFault::Unfinished(BASE)),
        ("++a:1", 1, QueryFault::Expected(BASE)),
        ("=a", 0, QueryFault::Expected(BASE)),
        (":a", 0, QueryFault::Expected(BASE)),
        ("10:a", 2, QueryFault::Expected(BASE)),
        ("\"a\":b", 3, QueryFault::Expected(BASE)),
        ("a:\"b", 2, QueryFault::Quotation),
        ("\"", 0, QueryFault::Quotation),
        ("a:/", 2, QueryFault::Slash),
        ("/", 0, QueryFault::Slash),
        ("a:b^x", 3, QueryFault::Boost),
        ("a:b^2x", 3, QueryFault::Boost),
        ("a:b^nan", 3, QueryFault::Boost),
        ("a:b^inf", 3, QueryFault::Boost),
        ("a:b^2~1", 3, QueryFault::Boost),
        ("a:b^1 ^2", 6, QueryFault::Expected(BASE)),
        ("^2", 0, QueryFault::Expected(BASE)),
        ("a:b~x", 3, QueryFault::Fuzziness),
        ("a:b~1^2", 3, QueryFault::Fuzziness),
        ("a:10~", 4, QueryFault::Expected(BASE)),
        ("a:\"b\"~", 5, QueryFault::Expected(BASE)),
        ("~", 0, QueryFault::Expected(BASE)),
        ("a:/^x/", 2, QueryFault::Slash),
        ("a:>\"yesterday\"", 3, QueryFault::Date),
        ("a:>\"2024-01-01\"", 3, QueryFault::Date),
        ("a:<=\"2024-01-01T00:00:00\"", 4, QueryFault::Date),
        ("a:>-\"2024-01-01T00:00:00Z\"", 4, QueryFault::Expected("a number")),
        (" \t", 0, QueryFault::Empty),
    ] {
        assert_eq!(fault(text), (at, expected), "{text}");
    }
    assert_eq!(fault(&format!("a:>{}", "9".repeat(400))), (3, QueryFault::Number));
    assert_eq!(fault(&"9".repeat(400)), (0, QueryFault::Number));
    assert_eq!(
        Query::parse("a:").expect_err("no value").to_string(),
        "expected a value, found the end of the query at byte 2"
    );
}

#[test]
fn spaces_may_stand_around_operators() {
    let document = Document::new().number("a", 10.0).term("b", "x");
    for text in ["a: > = 10", "a :>=10", "+ a:10", "a : 10", "b: x", "+a:>=10 \t+b:x", "- c:x + b:x", "a: < - -3 b:x"] {
        let takes = Query::parse(text).map(|query| query.score(&document).is_some());
        assert_eq!(takes.ok(), (!text.contains("- -")).then_some(true), "{text}");
    }
}

#[test]
fn each_form_matches_what_it_should() {
    let document = Document::new()
        .term("mode", "duel")
        .term("words", "two words")
        .term("empty", "")
        .term("lines", "a\nb")
        .term("star", "fo*")
        .term("digits", "10")
        .term("slash", "/x/")
        .term("path", "a-b.c_d")
        .number("rank", 10.0)
        .number("low", -3.0)
        .number("zero", 0.0)
        .text("when", "2024-06-01")
        .term("a.b", "nested");
    for text in [
        "mode:duel",
        "mode:du*",
        "mode:*",
        "mode:?uel",
        "mode:d??l",
        "mode:/d.+l/",
        "mode:/(?i)DUEL/",
        "mode:/duel|solo/",
        "mode:/du\\d*el/",
        "mode:duell~",
        "mode:duell~1",
        "mode:dulllt~2 mode:dual~2",
        "mode:dule~1",
        "mode:duel~0",
        "mode:dual~1.9",
        "words:two\\ words",
        "words:/two\\ words/",
        "words:two*",
        "empty://",
        "empty:*",
        "lines:/a\\nb/",
        "lines:/(?s)a.b/",
        "star:fo\\*",
        "star:fo*",
        "star:fo~",
        "digits:10",
        "digits:1*",
        "rank:10",
        "rank:10.0",
        "rank:10.",
        "rank:*",
        "rank:**",
        "low:-3",
        "low:- 3",
        "low:<-2",
        "low:>=-3.0",
        "zero:-0",
        "zero:>=-0",
        "rank:>9.5",
        "rank:>=10",
        "rank:<10.5",
        "rank:<=10",
        "when:>\"2024-01-01T00:00:00Z\"",
        "when:>=\"2024-06-01T00:00:00Z\"",
        "when:<=\"2024-06-01T02:00:00+02:00\"",
        "when:<\"2024-06-01T00:00:00.000000001Z\"",
        "a.b:nested",
        "path:a-b.c_d",
    ] {
        assert!(fits(text, &document), "{text}");
    }
    for text in [
        "mode:Duel",
        "Mode:duel",
        "mode:due",
        "mode:?",
        "mode:d*x",
        "mode:/due/",
        "mode:/duel$/",
        "mode:/\\^duel/",
        "mode:dxxx~2",
        "mode:dual~0",
        "mode:\"duel\"",
        "words:\"two words\"",
        "words:two",
        "duel",
        "du*",
        "/duel/",
        "10",
        "\"duel\"",
        "lines:*",
        "lines:a?b",
        "slash:\\/x\\/",
        "digits:10.0",
        "digits:>=10",
        "rank:11",
        "rank:1*",
        "rank:/.*/",
        "rank:>10",
        "rank:<10",
        "rank:>\"1970-01-01T00:00:00Z\"",
        "zero:>-0",
        "when:2024-06-01",
        "when:*",
        "when:2024*",
        "when:/.*/",
        "when:>0",
        "when:>\"2024-06-01T00:00:00Z\"",
        "a:nested",
        "AND",
        "none:x",
    ] {
        assert!(!fits(text, &document), "{text}");
    }
}

#[test]
fn clauses_combine_by_their_marks() {
    let document = Document::new().term("a", "x").term("b", "y");
    for (text, expected) in [
        ("+a:x", Some(1.0)),
        ("+a:y", None),
        ("+a:x +b:y", Some(2.0)),
        ("+a:x +b:x", None),
        ("+a:x b:y", Some(2.0)),
        ("+a:x b:x", Some(1.0)),
        ("a:x b:x", Some(1.0)),
        ("a:x b:y", Some(2.0)),
        ("a:y b:x", None),
        ("-a:y", Some(1.0)),
        ("-a:y -b:x", Some(1.0)),
        ("-a:x", None),
        ("-a:x b:y", None),
        ("+a:x -b:y", None),
        ("-c:x +a:x", Some(1.0)),
        ("a:x OR b:x", Some(1.0)),
        ("a:x NOT b:y", Some(2.0)),
        ("+a:x +AND +b:y", None),
        ("+a:x +\"b\"", None),
        ("-foo", Some(1.0)),
    ] {
        assert_eq!(score(text, &document), expected, "{text}");
    }
}

#[test]
fn a_score_is_a_matter_of_boosts() {
    let document =
        Document::new().term("s", "foo").number("n", 10.0).term("d", "7").text("t", "2024-01-01").term("l", "foobar");
    for (text, expected) in [
        ("s:foo", 1.0),
        ("s:foo^2", 4.0),
        ("s:foo^", 1.0),
        ("s:foo ^3", 9.0),
        ("s:foo^-2", 4.0),
        ("s:foo^0.5", 0.25),
        ("s:foo^1e1", 100.0),
        ("n:10^3", 3.0),
        ("d:7^3", 3.0),
        ("n:>5^5", 5.0),
        ("n:>5^-5", -5.0),
        ("s:fo*^3", 3.0),
        ("s:/fo+/^3", 3.0),
        ("t:>\"2020-01-01T00:00:00Z\"^3", 1.0),
        ("s:foo~ ^2", 4.0),
        ("l:foobaz~ ^2", 4.0 * (1.0 - 1.0 / 6.0)),
        ("l:fooba~2", 1.0 - 1.0 / 5.0),
        ("+s:foo^2 +n:>5^5 -s:bar d:7 d:8^9", 10.0),
    ] {
        assert_eq!(score(text, &document), Some(expected), "{text}");
    }
}

#[test]
fn one_clause_counts_once_however_many_values_match() {
    let document = Document::new().json("tags", &json!(["ab", "ac", "xyzz", 10, "10"]));
    assert_eq!(score("tags:a*^2", &document), Some(2.0));
    assert_eq!(score("tags:10^2", &document), Some(2.0));
    assert_eq!(score("tags:xyz~ ^2", &document), Some(4.0 * (1.0 - 1.0 / 3.0)));
    assert_eq!(score("+tags:ab +tags:ac", &document), Some(2.0));
}

#[test]
fn what_cannot_be_searched_for_is_a_query_that_finds_nothing() {
    let document = Document::new().term("a", "x");
    for text in ["a:/(/", "+a:x a:/[/", "a:x -b:/)/", "a:x~3", "a:x a:y~-1", "/(/", "a:x b:foo~9"] {
        let query = query(text);
        assert!(query.search_fault().is_some(), "{text}");
        assert_eq!(query.score(&document), None, "{text}");
    }
    assert_eq!(query(&"a:/x/ ".repeat(8)).score(&document), Some(8.0));
    assert_eq!(query(&"a:/x/ ".repeat(9)).search_fault(), Some("more than 8 regular expressions"));
    assert_eq!(query("a:x~2").search_fault(), None);
    assert_eq!(query("a:x~3").search_fault(), Some("fuzziness must be from 0 to 2"));
}

#[test]
fn an_explanation_has_a_verdict_for_each_clause() {
    let document = Document::new().term("mode", "duel").number("rank", 7.5).json("tags", &json!(["a", "b"]));
    let verdicts = query("+mode:duel^2  +rank:>=10 -tags:b clan:red foo mode:\"duel\"").explain(&document);
    let shown: Vec<_> = verdicts
        .iter()
        .map(|verdict| (&*verdict.clause, verdict.occurrence, verdict.is_match, verdict.found.join(" ")))
        .collect();
    assert_eq!(
        shown,
        [
            ("+mode:duel^2", Occurrence::Must, true, "\"duel\"".to_owned()),
            ("+rank:>=10", Occurrence::Must, false, "7.5".to_owned()),
            ("-tags:b", Occurrence::MustNot, true, "\"a\" \"b\"".to_owned()),
            ("clan:red", Occurrence::Should, false, String::new()),
            ("foo", Occurrence::Should, false, String::new()),
            ("mode:\"duel\"", Occurrence::Should, false, "\"duel\"".to_owned()),
        ]
    );
    assert!(verdicts[4].note.is_some() && verdicts[5].note.is_some() && verdicts[0].note.is_none());
    assert_eq!(query("*").explain(&document), []);
}

/// The labels of realtime-core.md 10.4, in the order in which their matches were created.
fn labels() -> Index<char> {
    let mut index = Index::new();
    let labels = [
        ('A', json!({"mode":"x","skill":5,"tags":["a","b"],"open":true,"nest":{"k":"v"}})),
        ('B', json!({"mode":"y","skill":15,"tags":["b"],"open":false,"email":"a b"})),
        ('C', json!("plain-label")),
        ('D', json!({"mode":"X","skill":5.5,"s":"5"})),
        ('E', json!("")),
    ];
    for (key, label) in labels {
        let text = label.as_str().map_or_else(|| label.to_string(), str::to_owned);
        let document = Document::new().term("node", "n1").term("handler_name", "h").number("tick_rate", 1.0);
        let document = document.term("label_string", &text);
        index.insert(key, if label.is_object() { document.json("label", &label) } else { document });
    }
    index
}

#[test]
fn labels_are_found_as_observed() {
    let index = labels();
    for (text, expected) in [
        ("+label.mode:x", "A"),
        ("+label.mode:X", "D"),
        ("+label.skill:5", "A"),
        ("+label.skill:>=5", "DBA"),
        ("+label.skill:>5", "DB"),
        ("+label.skill:<10", "DA"),
        ("+label.tags:b", "BA"),
        ("+label.tags:a +label.open:T", "A"),
        ("+label.open:true", ""),
        ("+label.nest.k:v", "A"),
        ("+label.email:a\\ b", "B"),
        ("+label.s:5", "D"),
        ("-label.mode:x", "EDCB"),
        ("-label.mode:x -label.mode:y", "EDC"),
        ("label.mode:x label.mode:y", "BA"),
        ("label.mode:x^5 label.mode:y^10", "BA"),
        ("+label.skill:5 label.mode:y", "A"),
        ("+label.mode:/x|y/", "BA"),
        ("label.mode:?", "DBA"),
        ("+label.mode:*", "DBA"),
        ("label_string:plain*", "C"),
        ("node:n1", "EDCBA"),
        ("handler_name:h", "EDCBA"),
        ("tick_rate:1", "EDCBA"),
        ("+label.email:\"a b\"", ""),
        ("x", ""),
        ("plain-label", ""),
        ("", "EDCBA"),
        ("*", "EDCBA"),
    ] {
        let mut found = String::new();
        let _ = index.search_newest_first(&query(text), &[], &Steps::unbounded(), |key, _| {
            found.push(key);
            ControlFlow::Continue(())
        });
        assert_eq!(found, expected, "{text}");
    }
    let mut first = None;
    let _ = index.search_newest_first(&query("label.mode:x~1"), &[], &Steps::unbounded(), |key, _| {
        first.get_or_insert(key);
        ControlFlow::Continue(())
    });
    assert_eq!(first, Some('A'), "the closest comes first");
}

#[test]
fn tickets_rank_as_observed() {
    let mut index = Index::new();
    index.insert(1, Document::new().term("properties.a", "foo"));
    index.insert(2, Document::new().number("properties.a", 10.0));
    let order = |text: &str| {
        let mut keys = Vec::new();
        let _ = index.search(&query(text), &[], &Steps::unbounded(), |key, _| {
            keys.push(key);
            ControlFlow::Continue(())
        });
        keys
    };
    assert_eq!(order("properties.a:10^3 properties.a:foo^2"), [1, 2]);
    assert_eq!(order("properties.a:foo^2 properties.a:>10^5"), [1]);
    assert_eq!(order("properties.a:foo^2 properties.a:>=10^5"), [2, 1]);
    assert_eq!(order("*"), [1, 2]);
}

proptest! {
    #[test]
    fn no_text_breaks_the_parser(text in "\\PC{0,40}|[-+:><=\"^~*?/\\\\ab1. \n]{0,24}") {
        let document = Document::new().term("a", "b").number("b", 1.0);
        match Query::parse(&text) {
            Ok(query) => {
                let _ = query.score(&document);
                let _ = query.explain(&document);
            }
            Err(error) => prop_assert!(error.at <= text.len() && text.is_char_boundary(error.at), "{}", error),
        }
    }

    #[test]
    fn an_escaped_text_finds_itself(term in "[^*?\n]{1,12}") {
        let plain = term.chars().flat_map(|c| [r#"+-=&|><!(){}[]^"~:\/ "#.contains(c).then_some('\\'), Some(c)]);
        let escaped: String = plain.flatten().collect();
        let is_expression = term.starts_with('/') && term.ends_with('/');
        prop_assume!(!is_expression && !term.starts_with(char::is_whitespace));
        prop_assert!(fits(&format!("a:{escaped}"), &Document::new().term("a", &term)), "{}", escaped);
    }
}
