//! An index finds what a comparison with every document finds, in the same order.

use super::*;
use proptest::{collection::vec, prelude::*, sample::select};
use std::collections::BTreeMap;

/// What an index has to agree with.
type Model = BTreeMap<u32, Document>;

fn expected(model: &Model, query: &Query, filters: &[Filter<'_>], order: Order) -> Vec<(u32, f64)> {
    let passing = model.iter().filter(|(_, document)| filters.iter().all(|filter| filter.accepts(document)));
    let mut hits: Vec<_> =
        passing.filter_map(|(key, document)| query.score(document).map(|score| (*key, score))).collect();
    if order == Order::NewestFirst {
        hits.reverse();
    }
    hits.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    hits
}

fn found(index: &Index<u32>, query: &Query, filters: &[Filter<'_>], order: Order, most: usize) -> Vec<(u32, f64)> {
    let mut hits = Vec::new();
    let reach = index.search_in(order, query, filters, &Steps::unbounded(), |key, score| {
        hits.push((key, score));
        if hits.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(reach, Reach::Done);
    hits
}

fn check(index: &Index<u32>, model: &Model, text: &str, filters: &[Filter<'_>]) -> Result<(), TestCaseError> {
    let query = Query::parse(text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let all = expected(model, &query, filters, order);
        prop_assert_eq!(&found(index, &query, filters, order, usize::MAX), &all, "{} {:?}", text, filters);
        prop_assert_eq!(found(index, &query, filters, order, 3), &all[..all.len().min(3)], "{}", text);
        for most in [0, 20, 100, 1_000, 20_000] {
            let (steps, mut hits) = (Steps::at_most(most), Vec::new());
            let reach = index.search_in(order, &query, filters, &steps, |key, score| {
                hits.push((key, score));
                ControlFlow::Continue(())
            });
            prop_assert!(all.starts_with(&hits), "{} in {} steps", text, most);
            prop_assert!(reach == Reach::CutShort || hits == all, "{} in {} steps", text, most);
        }
    }
    Ok(())
}

const TERMS: &[&str] = &["x", "y", "X", "xy", "foo", "fop", "ofo", "10", "-1", "", "a\nb", "two words"];
const NUMBERS: &[f64] = &[-1.0, 0.0, 1.0, 2.5, 10.0, f64::INFINITY];
const DATES: &[&str] = &["2024-01-01", "2024-06-01T12:00:00Z"];

fn document() -> impl Strategy<Value = Document> {
    let value = prop_oneof![
        4 => select(TERMS).prop_map(|term| Document::new().term("f", term)),
        3 => select(NUMBERS).prop_map(|number| Document::new().number("f", number)),
        1 => select(DATES).prop_map(|date| Document::new().text("f", date)),
    ];
    vec((select(&["a", "b", "c"][..]), value), 0..5).prop_map(|values| {
        let add = |document: Document, (path, value): (&str, Document)| match &value.fields()[0].value {
            crate::search::document::Value::Term(term) => document.term(path, term),
            crate::search::document::Value::Number(number) => document.number(path, *number),
            crate::search::document::Value::Date(nanos) => {
                document.text(path, DATES[usize::from(*nanos != 1_704_067_200_000_000_000)])
            }
        };
        values.into_iter().fold(Document::new(), add)
    })
}

fn query() -> impl Strategy<Value = String> {
    let value = select(
        &[
            "x",
            "y",
            "foo",
            "f*",
            "*",
            "?",
            "x*y",
            "/x|y/",
            "/(?i)X/",
            "/f.*/",
            "foo~",
            "fop~2",
            "foo~0",
            "10",
            "-1",
            "2.5",
            ">0",
            ">=1",
            "<10",
            "<=2.5",
            "<-1",
            ">9999",
            "\"x\"",
            "two\\ words",
            "//",
            "two~1",
            ">\"2024-01-01T00:00:00Z\"",
            "<=\"2024-06-01T12:00:00Z\"",
            "x~2",
        ][..],
    );
    let boost = select(&["", "", "", " ^2", " ^0.5", " ^-1", " ^0", " ^3"][..]);
    let clause = (select(&["", "", "+", "-"][..]), select(&["a", "a", "b", "c", "none"][..]), value, boost)
        .prop_map(|(occurrence, field, value, boost)| format!("{occurrence}{field}:{value}{boost}"));
    prop_oneof![1 => Just("*".to_owned()), 20 => vec(clause, 1..9).prop_map(|clauses| clauses.join(" "))]
}

fn filters() -> impl Strategy<Value = Vec<Filter<'static>>> {
    let filter = prop_oneof![
        (select(&["a", "b"][..]), select(NUMBERS)).prop_map(|(path, least)| Filter::AtLeast(path, least)),
        (select(&["a", "b"][..]), select(NUMBERS)).prop_map(|(path, most)| Filter::AtMost(path, most)),
        (select(&["a", "b"][..]), select(TERMS)).prop_map(|(path, term)| Filter::Not(path, term)),
    ];
    prop_oneof![2 => Just(Vec::new()), 1 => vec(filter, 1..3)]
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u32, Document),
    Remove(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u32..60, document()).prop_map(|(key, document)| Step::Insert(key, document)),
        1 => (0_u32..60).prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn a_small_index_finds_what_a_comparison_with_all_finds(
        steps in vec(step(), 0..80),
        searches in vec((query(), filters()), 1..8),
    ) {
        let (mut index, mut model) = (Index::new(), Model::new());
        for step in steps {
            match step {
                Step::Insert(key, document) => {
                    index.insert(key, document.clone());
                    model.insert(key, document);
                }
                Step::Remove(key) => prop_assert_eq!(index.remove(&key), model.remove(&key)),
            }
            prop_assert_eq!(index.len(), model.len());
        }
        for (query, filters) in searches {
            check(&index, &model, &query, &filters)?;
        }
        for key in 0..60 {
            prop_assert_eq!(index.get(&key), model.get(&key));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Large enough for bits, columns and more terms than are compared beforehand.
    #[test]
    fn a_large_index_finds_what_a_comparison_with_all_finds(
        documents in vec(document(), 200),
        count in 300_u32..1_500,
        removed in 2_u32..9,
        searches in vec((query(), filters()), 1..6),
    ) {
        let (mut index, mut model) = (Index::new(), Model::new());
        for key in 0..count {
            // Every field of its own density, so that each kind of set comes up.
            let document = documents[key as usize % 200].clone();
            let document = document.term("id", &format!("t{key}")).number("rank", f64::from(key * 7 % 100));
            let document = if key % 9 == 0 { document.number("rare", f64::from(key)) } else { document };
            index.insert(key, document.clone());
            model.insert(key, document);
        }
        for key in (0..count).filter(|key| key % removed == 0) {
            prop_assert_eq!(index.remove(&key), model.remove(&key));
        }
        for (query, filters) in searches {
            check(&index, &model, &query, &filters)?;
            for with in ["+rank:>=20 +rank:<40", "-rank:<50", "rank:50^3", "+id:t1*", "+id:*7 -id:/t.*1./", "id:t100~2", "+rare:*"] {
                check(&index, &model, &if query == "*" { with.to_owned() } else { format!("{query} {with}") }, &filters)?;
            }
        }
    }
}

#[test]
fn keys_may_come_in_any_order() {
    let count = 2_000;
    for key_of in [|n: u32| n, |n| 2_000 - n, |n| n * 777 % 2_000] {
        let mut index = Index::new();
        for n in 0..count {
            index.insert(
                key_of(n),
                Document::new().number("n", f64::from(n)).term("t", if n % 2 == 0 { "x" } else { "y" }),
            );
        }
        let keys: Vec<u32> = found(&index, &Query::default(), &[], Order::OldestFirst, usize::MAX)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(keys.len(), count as usize);
        assert!(keys.is_sorted());
    }
}

#[test]
fn the_place_of_what_was_removed_is_used_again() {
    let mut index = Index::new();
    for key in 0..200_000_u32 {
        index.insert(key, Document::new().number("n", f64::from(key)).term("id", &key.to_string()));
        if key >= 100 {
            index.remove(&(key - 100));
        }
    }
    assert_eq!(index.len(), 100);
    assert!(index.places.len() < 3_000, "{}", index.places.len());
    assert_eq!(index.fields["id"].terms.len(), 100);
    let query = Query::parse("+n:>=199950").expect("a query");
    assert_eq!(found(&index, &query, &[], Order::OldestFirst, usize::MAX).len(), 50);
    for key in 199_900..200_000 {
        index.remove(&key);
    }
    assert!(index.is_empty() && index.fields.is_empty() && index.live.is_empty());
    assert_eq!(found(&index, &Query::default(), &[], Order::OldestFirst, usize::MAX), []);
}

#[test]
fn a_search_shows_no_more_than_its_visitor_wants() {
    let mut index = Index::new();
    (0..10_000_u32)
        .for_each(|key| index.insert(key, Document::new().term("mode", "duel").number("rank", f64::from(key % 10))));
    for text in [
        "*",
        "+mode:duel",
        "mode:duel^2 rank:3^7",
        "+mode:duel rank:>=5 rank:1 rank:2 rank:3 rank:4 rank:6",
        "+rank:3 mode:dual~",
    ] {
        let query = Query::parse(text).expect("a query");
        let mut seen = Vec::new();
        let reach = index.search(&query, &[], &Steps::unbounded(), |key, _| {
            seen.push(key);
            if seen.len() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((seen.len(), reach), (2, Reach::Done), "{text}");
    }
}

#[test]
fn a_search_ends_when_its_steps_are_used_up() {
    let mut index = Index::new();
    for key in 0..20_000_u32 {
        let document = Document::new().term("name", &format!("player{key:05}")).number("rank", f64::from(key));
        index.insert(key, document.number("same", f64::from(key)).term("mode", if key % 2 == 0 { "x" } else { "y" }));
    }
    let shoulds = "mode:x rank:>5 same:>7 mode:y^2 rank:<15000^3 same:<12000 ".repeat(20);
    for text in [
        "+name:*x",
        "-name:*1*",
        "name:*x mode:z",
        "+name:/.*x/",
        "+name:play~2",
        "-name:player77777~2 -name:/.*9/",
        "+rank:<10000 +same:>=10000",
        "+name:/(p|pl|pla|play|x){40}.*/",
        &shoulds,
    ] {
        let query = Query::parse(text).expect("a query");
        let search = |steps: &Steps| index.search(&query, &[], steps, |_, _| ControlFlow::Continue(()));
        let whole = Steps::unbounded();
        assert_eq!(search(&whole), Reach::Done, "{text}");
        assert!(whole.taken() > 1_000, "{text}: {}", whole.taken());
        for most in [0, 1_000, whole.taken() / 2] {
            let steps = Steps::at_most(most);
            assert_eq!(search(&steps), Reach::CutShort, "{text}");
            // The last thing is finished: one term of a large expression, or the set of one clause.
            assert!(steps.taken() <= most + 5_000, "{text}: {} of {most}", steps.taken());
        }
    }
}

#[test]
fn a_query_that_cannot_search_finds_nothing() {
    let mut index = Index::new();
    index.insert(1, Document::new().term("a", "x"));
    let query = Query::parse("+a:x a:/(/").expect("a query");
    assert_eq!(found(&index, &query, &[], Order::OldestFirst, usize::MAX), []);
    let filter = [Filter::AtLeast("a", f64::NAN)];
    assert_eq!(found(&index, &Query::default(), &filter, Order::OldestFirst, usize::MAX), []);
}
