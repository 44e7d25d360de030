//! Texts that people and scripts write.

use plasmon_protocol::column::Record;
use plasmon_protocol::filter::{Filter, complete};
use plasmon_protocol::id::{NodeId, ObjectKey};

use super::messages::Examples;

pub(crate) const JSON: &[&str] = &[
    "{",
    "[",
    "]",
    "}",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "1e999",
    "1e-7",
    "0.1",
    "18446744073709551615",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\\u001b[2J",
    "\"id\":",
    "\"type\":",
    "\"seq\":",
    "\"report\"",
    "\"last\":true",
    "\"store\":{}",
    "\"size_bytes\":",
    "\"references\":[{}]",
    "\"line\":4294967295",
    "\u{202e}",
    "\u{1b}]0;x\u{7}",
];
pub(crate) const FILTER: &[&str] = &[
    "size",
    "age",
    "cpu",
    "local",
    "type",
    "site",
    "growth",
    ":",
    "=",
    "!=",
    ">",
    "<",
    ">=",
    "<=",
    "!",
    "|",
    " ",
    "\"",
    "\\",
    "\\\"",
    "::",
    "1.5GiB",
    "-64KiB",
    "1h30m",
    "ms",
    "d",
    "50%",
    "10k",
    "NaN",
    "inf",
    "1e300",
    "\u{df}",
    "\u{130}",
    "\u{1b}[31m",
    "\u{202e}",
    "9",
    ".",
    "99999999999999999999999999999999999999",
];
pub(crate) const SIZES: &[&str] = &[
    "9",
    "0",
    ".",
    "-",
    "+",
    " ",
    "k",
    "KB",
    "MiB",
    "GiB",
    "TiB",
    "tb",
    "b",
    "e",
    "_",
    "NaN",
    "NODE",
    "STACK_TRACE",
    "AUTO",
    "\u{661}",
    "99999999999999999999999999999999999999",
];
pub(crate) const HEX: &[&str] = &["0", "f", "F", "g", "+", "-", " ", "0x", "\u{e9}", "\u{1f600}"];

fn named(texts: &[&str]) -> Examples {
    texts.iter().enumerate().map(|(index, text)| (format!("{index:02}"), text.as_bytes().to_vec())).collect()
}

pub(crate) fn filters() -> Examples {
    named(&[
        "",
        "site:remember size>1m",
        "type:pinned | age>10m",
        "!state:inlined",
        "\"two words\" 4f02",
        "size>=1.5MiB local>10k",
        "cpu>50%",
        "age<1h30m age=5s age!=2d",
        "growth>-64KiB",
        "kind=process_dropped",
        ":142 app::main",
        "\"a \\\" b\"|!!x",
        "node:7f3a state!=in_memory kind:\"(put object)\"",
        "!severity:err",
    ])
}

pub(crate) fn options() -> Examples {
    named(&[
        "0",
        "17",
        "1k",
        "2GB",
        "512MiB",
        "2.5GiB",
        "1 kib",
        "1.999999999t",
        "stack-trace",
        "REFERENCE_TYPE",
        "pid",
        "age",
        "Auto",
        "kb",
    ])
}

pub(crate) fn ids() -> Examples {
    let node = NodeId([0xde, 0xad, 0xbe, 0xef, 0, 1, 2, 3]);
    let object = ObjectKey { slot: 7, generation: u32::MAX }.on(node);
    vec![("wide".to_owned(), object.hex().into_bytes()), ("narrow".to_owned(), node.hex().into_bytes())]
}

/// Reads a filter over a table and tries it; whether it could be read.
pub(crate) fn filtered<R: Record>(text: &str, row: &R) -> bool {
    let completed = complete::<R>(text).apply(text);
    assert!(completed.chars().count() >= text.chars().count(), "{completed:?}");
    match Filter::<R>::parse(text) {
        Ok(filter) => {
            for now_ms in [0, 1_700_000_000_000, u64::MAX] {
                let _ = filter.matches(row, now_ms);
            }
            assert_eq!(filter.text(), text);
            true
        }
        Err(error) => {
            assert!(error.offset < text.chars().count(), "{error:?}");
            let shown = error.to_string();
            assert!(!shown.chars().any(|letter| letter.is_control() && letter != '\n'), "{shown:?}");
            false
        }
    }
}
