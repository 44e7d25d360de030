use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::error::Error;
use crate::id::{NodeId, ObjectId, ObjectKey, ProcessId};
use crate::record::{
    EventKind, EventRow, ObjectRow, ObjectState, ProcessRow, ProcessType, ReferenceRow, ReferenceType, Site, SiteKind, SiteRow, StoreRow,
    TaskRow, TaskStatus,
};

const NOW: u64 = 1_700_000_000_000;

fn id(slot: u32) -> ObjectId {
    ObjectKey { slot, generation: 1 }.on(NodeId([0x7f, 0x3a, 0, 0, 0, 0, 0, 1]))
}

fn site(kind: SiteKind, function: &str, file: &str, line: u32) -> Arc<Site> {
    Arc::new(Site { kind, function: function.to_owned(), file: file.to_owned(), line, ..Site::default() })
}

fn pinned() -> ReferenceRow {
    ReferenceRow {
        object_id: id(1),
        process: ProcessId(1),
        pid: 123,
        process_type: ProcessType::Worker,
        node: NodeId([0x7f, 0x3a, 0, 0, 0, 0, 0, 1]),
        node_ip: Arc::from("127.0.0.1"),
        reference_type: ReferenceType::PinnedInMemory,
        size_bytes: Some(1_500_000),
        call_site: site(SiteKind::GetObject, "demo::remember", "src/demo.rs", 142),
        created_site: site(SiteKind::PutObject, "demo::make_Größe", "src/demo.rs", 12),
        status: Some(TaskStatus::Finished),
        attempt: Some(2),
        state: ObjectState::InMemory,
        since_ms: NOW - 65_000,
        local: 3,
        pinned: 1,
        ..ReferenceRow::default()
    }
}

fn pending() -> ReferenceRow {
    ReferenceRow {
        object_id: id(2),
        process: ProcessId(2),
        pid: 1234,
        process_type: ProcessType::Driver,
        node_ip: Arc::from("127.0.0.1"),
        reference_type: ReferenceType::LocalReference,
        size_bytes: None,
        call_site: site(SiteKind::TaskCall, "demo::partition", "src/my file.rs", 88),
        since_ms: NOW - 4_000,
        local: 1,
        ..ReferenceRow::default()
    }
}

fn rows() -> Vec<ReferenceRow> {
    vec![pinned(), pending(), ReferenceRow::default()]
}

fn filter(text: &str) -> Filter<ReferenceRow> {
    Filter::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Which of the two rows pass: `pinned` as the first, `pending` as the second.
fn passes(text: &str) -> (bool, bool) {
    let filter = filter(text);
    (filter.matches(&pinned(), NOW), filter.matches(&pending(), NOW))
}

#[test]
fn every_operator_on_every_kind_of_column() {
    const BOTH: (bool, bool) = (true, true);
    const NONE: (bool, bool) = (false, false);
    const PINNED: (bool, bool) = (true, false);
    const PENDING: (bool, bool) = (false, true);
    for (text, expected) in [
        ("", BOTH),
        ("   ", BOTH),
        ("type:pinned", PINNED),
        ("TYPE:Pinned-In", PINNED),
        ("kind:local", PENDING),
        ("kind:\"pinned in memory\"", PINNED),
        ("type=local_reference", PENDING),
        ("type=pinned_in_memory", PINNED),
        ("type!=pinned_in_memory", PENDING),
        ("site:remember", PINNED),
        ("site:\"(task call)\"", PENDING),
        ("(task call)", PENDING),
        ("(remember | partition) !(pid:1234 kind:local)", PINNED),
        ("(site:demo.rs:142)", PINNED),
        ("x() | y)", NONE),
        ("remember", PINNED),
        ("demo.rs:142", PINNED),
        (":88", PENDING),
        ("GRÖSSE", NONE),
        ("größe", PINNED),
        ("\"my file\"", PENDING),
        ("!remember", PENDING),
        ("!!remember", PINNED),
        ("pid:123", PINNED),
        ("pid:12", NONE),
        ("pid!=123", PENDING),
        ("pid>=123", BOTH),
        ("pid<1k", PINNED),
        ("size>1m", PINNED),
        ("size>1.5m", NONE),
        ("size>=1.5m", PINNED),
        ("size=1500000", PINNED),
        ("size<1.5MiB", PINNED),
        ("size<1g", PINNED),
        ("!size<1g", PENDING),
        ("age>1m", PINNED),
        ("age<5s", PENDING),
        ("age:1m", PINNED),
        ("age:4s", PENDING),
        ("age!=4s", PINNED),
        ("age=1m5s", PINNED),
        ("age<=1.5h", BOTH),
        ("attempt:2", PINNED),
        ("local>0 pinned>0", PINNED),
        ("local>1 | size:3", PINNED),
        ("remember|partition", BOTH),
        ("remember partition", NONE),
        ("remember type:local | partition type:local", PENDING),
        (&id(2).hex(), PENDING),
        ("process:worker", PINNED),
        ("site:demo::remember", PINNED),
        ("src/demo.rs:142", PINNED),
        ("site:\"remember demo.rs\"", PINNED),
        ("site=\"(get object) remember demo.rs:142\"", PINNED),
        ("site=\"(get object) demo::remember src/demo.rs:142\"", PINNED),
        ("site!=\"(get object) demo::remember src/demo.rs:142\"", PENDING),
        ("site!=\"(get object) remember demo.rs:142\"", PENDING),
        ("node:7f3a", PINNED),
        ("node:127.0.0.1", BOTH),
    ] {
        assert_eq!(passes(text), expected, "{text}");
    }
}

#[test]
fn growth_is_signed_and_numbers_take_percent() {
    let shrunk = SiteRow { growth_bytes: -2_000_000, ..SiteRow::default() };
    for (text, expected) in [("growth<-1m", true), ("growth<-3m", false), ("growth>+1k", false), ("growth<0", true)] {
        assert_eq!(Filter::<SiteRow>::parse(text).unwrap().matches(&shrunk, NOW), expected, "{text}");
    }
    let busy = ProcessRow { cpu_percent: 75.5, ..ProcessRow::default() };
    for (text, expected) in [("cpu>75%", true), ("cpu>75.5", false), ("cpu=75.5", true)] {
        assert_eq!(Filter::<ProcessRow>::parse(text).unwrap().matches(&busy, NOW), expected, "{text}");
    }
    let event = EventRow { kind: EventKind::StoreFull, ..EventRow::default() };
    assert!(Filter::<EventRow>::parse("type:store_full").unwrap().matches(&event, NOW));
}

#[test]
fn only_ages_depend_on_time() {
    assert!(filter("remember | !age>5s").depends_on_age());
    assert!(!filter("remember size>5").depends_on_age());
    assert!(!filter("").depends_on_age());
}

#[test]
fn a_fault_is_shown_where_it_is() {
    let at = |text: &str| Filter::<ReferenceRow>::parse(text).unwrap_err().offset;
    for (text, offset) in [
        ("sz>1m", 0),
        ("ok !sz>1m", 4),
        ("size>banana", 5),
        ("größe size>=\"1 xb\"", 13),
        ("size>", 4),
        ("site:", 4),
        ("a |", 2),
        ("| a", 0),
        ("a | | b", 4),
        ("a ! b", 2),
        ("a \"b c", 2),
        ("\"\"", 0),
        (">5", 0),
        ("type>pinned", 4),
        ("pid:-1", 4),
        ("pid:12x", 4),
        ("age>5", 4),
        ("age>5s3", 4),
        ("age>ms", 4),
        ("size>-1k", 5),
        ("size:99999999999999999999999", 5),
        ("x type:pined", 7),
        ("type=pinned", 5),
        ("state!=spiled", 7),
        ("a (b", 2),
        ("(a | )", 3),
        ("a ()", 2),
        ("(a) !( | b)", 7),
        ("x (pid:y)", 7),
    ] {
        assert_eq!(at(text), offset, "{text}");
    }
    let error = Filter::<ReferenceRow>::parse("größe sz>1m\u{1b}").unwrap_err();
    insta::assert_snapshot!(error, @r"
    no column 'sz' in references, which have size, type, pid, process, age, site, created, stack, creator, status, attempt, state, node, local, pinned, submitted, captured, object
      größe sz>1m\u{1b}
            ^
    ");
    assert_eq!(error.hint, "name one of these columns, or quote the word to look for the text");
    let Error::Invalid { what, value, cause } = Error::from(error) else { panic!("not an invalid value") };
    assert_eq!((what.as_str(), value.as_str()), ("filter", "größe sz>1m\u{1b}"));
    assert!(cause.contains("no column 'sz'") && cause.contains("at character 7"), "{cause}");
}

#[test]
fn a_near_miss_is_named() {
    let hint = |text: &str| Filter::<ReferenceRow>::parse(text).unwrap_err().hint;
    assert_eq!(hint("sise>1m"), "did you mean 'size'? quote the word to look for the text");
    assert_eq!(hint("x statee:spilled"), "did you mean 'state'? quote the word to look for the text");
    assert_eq!(hint("state:spiled"), "did you mean 'SPILLED'?");
    assert_eq!(hint("state:banana"), "write one of these words; behind ':' a part of it will do");
}

#[test]
fn a_long_filter_is_shown_around_its_fault() {
    let text = format!("{} sz>1 {}", "a".repeat(5000), "b".repeat(5000));
    let error = Filter::<ReferenceRow>::parse(&text).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().skip(1).collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 110), "{error}");
    let caret = lines[1].chars().position(|char| char == '^').unwrap();
    assert!(lines[0].chars().skip(caret).collect::<String>().starts_with("sz>1"), "{error}");
}

#[test]
fn there_are_not_more_words_than_allowed() {
    assert!(Filter::<ReferenceRow>::parse(&"a ".repeat(MAX_TERMS)).is_ok());
    let error = Filter::<ReferenceRow>::parse(&"a ".repeat(MAX_TERMS + 1)).unwrap_err();
    assert_eq!(error.offset, 2 * MAX_TERMS);
}

#[test]
fn brackets_are_not_deeper_than_allowed() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::<ReferenceRow>::parse(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(Filter::<ReferenceRow>::parse(&nested(MAX_DEPTH + 1)).unwrap_err().offset, MAX_DEPTH);
    assert!(Filter::<ReferenceRow>::parse(&"(".repeat(60_000)).is_err());
}

#[test]
fn columns_hold_what_they_say() {
    fn check<R: Record>(row: &R) {
        for column in R::columns() {
            let kind = match (column.cell)(row) {
                Cell::None => continue,
                Cell::Text(_) => Kind::Text,
                Cell::Bytes(_) => Kind::Bytes,
                Cell::Growth(_) => Kind::Growth,
                Cell::Count(_) => Kind::Count,
                Cell::Number(_) => Kind::Number,
                Cell::Since(_) => Kind::Since,
            };
            assert_eq!(kind, column.kind, "{:?} {}", R::TABLE, column.name);
        }
    }
    check(&pinned());
    check(&ObjectRow { size_bytes: Some(1), task: Some(crate::id::TaskId::default()), ..ObjectRow::default() });
    check(&SiteRow::default());
    check(&ProcessRow { task: Some(Arc::from("t")), ..ProcessRow::default() });
    check(&TaskRow { worker_pid: Some(1), error: Some("e".to_owned()), ..TaskRow::default() });
    check(&EventRow { pid: Some(1), ..EventRow::default() });
    check(&StoreRow::default());
}

/// Words that can be read, of every shape.
fn word() -> impl Strategy<Value = String> {
    let value = prop_oneof!["[a-z0-9.]{1,6}", Just("\"put object\"".to_owned())];
    prop_oneof![
        value.clone(),
        value.prop_map(|value| format!("site:{value}")),
        (prop_oneof![Just("size"), Just("local"), Just("pid")], prop_oneof![Just(">"), Just("<="), Just("=")], 0_u64..3000)
            .prop_map(|(column, operator, number)| format!("{column}{operator}{number}")),
        (0_u64..100).prop_map(|seconds| format!("age>{seconds}s")),
        prop_oneof![Just("type:pinned"), Just("kind:local"), Just("!state:pending")].prop_map(str::to_owned),
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_inside_the_text(text in ".*") {
        if let Err(error) = Filter::<ReferenceRow>::parse(&text) {
            prop_assert!(error.offset < text.chars().count(), "{} in {text:?}", error.offset);
            prop_assert!(error.to_string().lines().count() >= 3);
        }
    }

    #[test]
    fn text_made_of_the_languages_own_parts_is_read_or_refused_inside_the_text(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "size", "age", "type", "x", ":", ">", "<=", "=", "!", "|", " ", "\"", "\\", "1", "m", "ß", "\u{202e}", "(", ")",
            ]),
            0..24,
        ),
    ) {
        let text = parts.concat();
        match Filter::<ReferenceRow>::parse(&text) {
            Ok(filter) => for row in rows() { let _ = filter.matches(&row, NOW); },
            Err(error) => prop_assert!(error.offset < text.chars().count(), "{} in {text:?}", error.offset),
        }
    }

    #[test]
    fn negation_turns_every_answer_and_twice_turns_it_back(word in word()) {
        let (plain, negated, twice) = (filter(&word), filter(&format!("!{word}")), filter(&format!("!!{word}")));
        for row in rows() {
            prop_assert_ne!(plain.matches(&row, NOW), negated.matches(&row, NOW));
            prop_assert_eq!(plain.matches(&row, NOW), twice.matches(&row, NOW));
        }
    }

    #[test]
    fn a_space_is_and_a_bar_is_or(a in word(), b in word(), c in word()) {
        let (all, any, mixed) = (filter(&format!("{a} {b}")), filter(&format!("{a}|{b}")), filter(&format!("{a} {b} | {c}")));
        let (a, b, c) = (filter(&a), filter(&b), filter(&c));
        for row in rows() {
            let (a, b, c) = (a.matches(&row, NOW), b.matches(&row, NOW), c.matches(&row, NOW));
            prop_assert_eq!(all.matches(&row, NOW), a && b);
            prop_assert_eq!(any.matches(&row, NOW), a || b);
            prop_assert_eq!(mixed.matches(&row, NOW), a && b || c);
        }
    }

    #[test]
    fn brackets_hold_words_together(a in word(), b in word(), c in word(), space in "[ ]{0,2}") {
        let any = filter(&format!("({space}{a}{space}|{b}{space}){space}{c}"));
        let none = filter(&format!("!({space}{a} {b}{space})|(({space}{c}))"));
        let (a, b, c) = (filter(&a), filter(&b), filter(&c));
        for row in rows() {
            let (a, b, c) = (a.matches(&row, NOW), b.matches(&row, NOW), c.matches(&row, NOW));
            prop_assert_eq!(any.matches(&row, NOW), (a || b) && c);
            prop_assert_eq!(none.matches(&row, NOW), !(a && b) || c);
        }
    }

    #[test]
    fn nothing_changes_with_time_before_it_is_said_to(word in "age(:|=|!=|<|>|<=|>=)[0-9]{1,2}(s|m|h)", negated in any::<bool>(), wait in 0_u64..10_000_000) {
        let filter = filter(&if negated { format!("!({word} pid>0)") } else { word });
        for row in rows() {
            let until = filter.changes_at(&row, NOW).unwrap_or(u64::MAX);
            let then = NOW + wait.min(until - NOW - 1);
            prop_assert_eq!(filter.matches(&row, then), filter.matches(&row, NOW));
        }
    }

    #[test]
    fn a_needle_is_found_wherever_it_lies(before in ".{0,6}", needle in "[a-zA-Z_. -]{1,6}", after in ".{0,6}") {
        let text = format!("{before}{}{after}", needle.to_uppercase());
        prop_assert!(contains(&text, &fold(&needle)));
        prop_assert_eq!(equals(&text, &fold(&needle)), before.is_empty() && after.is_empty());
    }
}
