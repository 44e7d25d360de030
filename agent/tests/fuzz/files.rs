//! Files and requests as they should be.

use plasmon_agent::session::Address;
use plasmon_protocol::column::Table;
use plasmon_protocol::id::NodeId;
use plasmon_protocol::stream::{Request, Sort, View, Window};

/// Named inputs of a corpus.
pub(crate) type Examples = Vec<(String, Vec<u8>)>;

pub(crate) const TOKEN: &str = "0123456789abcdef";
pub(crate) const VIEW: &[&str] = &[
    "\"references\"",
    "\"objects\"",
    "\"sites\"",
    "\"events\"",
    "\"group\":\"type\"",
    "\"column\":\"size\"",
    "\"ascending\":true",
    "\"filter\":\"",
    "\"start\":18446744073709551615",
    "\"len\":500",
    "\"len\":0",
    "age>1s",
    "|",
    "\\\"",
    "type:local",
    "99999999999999999999999999999999999999tb",
];
pub(crate) const HTTP: &[&str] = &[
    "\r\n",
    "\n",
    ": ",
    "GET ",
    "/v1/stream",
    " HTTP/1.1",
    " HTTP/1.0",
    "Host: ",
    "Origin: http://",
    "Authorization: Bearer ",
    "[::1]",
    "localhost",
    ":65536",
    ":0",
    "Upgrade: websocket",
    "Connection: upgrade",
    "Sec-WebSocket-Version: 13",
    "\0",
    "\u{e9}",
    TOKEN,
];
pub(crate) const ADDRESS: &[&str] = &["\"listen\":\"", "[::1]:1", "999.0.0.1", "\"pid\":-1", "null", "[", "\\u0000", "../"];
pub(crate) const TOML: &[&str] = &[
    "listen = ",
    "num-cpus = ",
    "object-store-memory = ",
    "allow-host = [",
    "[[",
    "]]",
    "\"\"\"",
    "'''",
    "nan",
    "inf",
    "-1",
    "1e400",
    "1979-05-27T07:32:00Z",
    "\"99999999999999999999999999999999999999tb\"",
    ".",
    "\n",
    "{",
    "\\u0000",
    "0.0.0.0:0",
];

fn named(texts: &[&str]) -> Examples {
    texts.iter().enumerate().map(|(index, text)| (format!("{index:02}"), text.as_bytes().to_vec())).collect()
}

pub(crate) fn views() -> Examples {
    let tables = [
        Table::References,
        Table::Objects,
        Table::Sites,
        Table::Processes,
        Table::Tasks,
        Table::Events,
        Table::Store,
        Table::Actors,
        Table::PostMortem,
    ];
    let plain = tables.map(View::of).into_iter();
    let rich = View {
        columns: vec!["size_bytes".into()],
        filter: "size>=0 | !type:pinned age>1s".into(),
        sort: Some(Sort { column: "size".into(), ascending: true }),
        window: Window { start: 1, len: 10 },
        ..View::of(Table::References)
    };
    let grouped = View { group: Some("type".into()), ..View::of(Table::References) };
    let views = plain.chain([rich, grouped]).enumerate();
    views.map(|(id, view)| (format!("{id:02}"), serde_json::to_vec(&Request::Subscribe { id: id as u32, view }).unwrap())).collect()
}

pub(crate) fn heads() -> Examples {
    let upgrade = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let head =
        |host: &str, more: &str| format!("GET /v1/stream HTTP/1.1\r\nHost: {host}\r\n{upgrade}Authorization: Bearer {TOKEN}\r\n{more}\r\n");
    named(&[
        &head("127.0.0.1:6480", ""),
        &head("[::1]:6480", "Origin: http://[::1]:6480\r\n"),
        &head("box.example", "Origin: http://evil.example\r\n"),
        &head("localhost:6480", "User-Agent: script\r\nAccept: */*\r\n"),
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /v1/stream HTTP/1.0\r\n\r\n",
    ])
}

pub(crate) fn addresses() -> Examples {
    let address = Address {
        pid: 4711,
        node: NodeId([1, 2, 3, 4, 5, 6, 7, 8]),
        listen: ([127, 0, 0, 1], 6480).into(),
        socket: "/tmp/plasmon-1000/session/agent.sock".into(),
        token_file: "/tmp/plasmon-1000/session/token".into(),
        started_ms: 1_700_000_000_000,
        version: "0.1.0".into(),
    };
    vec![("address".to_owned(), serde_json::to_vec(&address).unwrap())]
}

pub(crate) fn configs() -> Examples {
    named(&[
        "listen = \"127.0.0.1:6480\"\nallow-host = [\"box.example\", \"other\"]\ninsecure-plaintext = false\n",
        "# comment\ntoken-file = \"token\"\ntemp-dir = '/var/tmp'\nnum-cpus = 1.5\nobject-store-memory = \"512MiB\"\n",
        "num-cpus = 2\nobject-store-memory = 16777216\n",
        "num-cps = 3\n",
        "[table]\nkey = { inline = [1, 2.5, 1979-05-27] }\n",
    ])
}

pub(crate) fn tokens() -> Examples {
    named(&[TOKEN, "  spaced \n", "", "two words", "\u{e9}"])
}
