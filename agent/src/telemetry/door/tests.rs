use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn door() -> Door {
    Door::new(&Token::parse("secret").unwrap(), vec!["node7.example".to_owned()])
}

fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Head {
    let mut all = vec![("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    all.push(("Sec-WebSocket-Key", KEY));
    all.extend_from_slice(headers);
    Head::new(method, target, &all)
}

/// Every combination of what the door looks at, and of each the first reason against it.
#[test]
fn everything_but_the_one_right_request_is_refused() {
    use Refusal::{Host, Malformed, Method, NoToken, Origin, Path, WrongToken};
    let requests = [("GET", "/v1/stream", None), ("POST", "/v1/stream", Some(Method)), ("GET", "/", Some(Path))];
    let more = [("DELETE", "/", Some(Method)), ("get", "/v1/stream", Some(Method)), ("GET", "/v1/stream?token=secret", Some(Path))];
    let hosts = [
        (Some("127.0.0.1:6480"), None),
        (Some("[::1]:6480"), None),
        (Some("localhost"), None),
        (Some("NODE7.example:1"), None),
        (None, Some(Malformed)),
        (Some(""), Some(Host)),
        (Some("evil.test"), Some(Host)),
        (Some("evil.test:6480"), Some(Host)),
        (Some("localhost.evil.test"), Some(Host)),
        (Some("127.0.0.1.evil.test"), Some(Host)),
        (Some("localhost@evil.test"), Some(Host)),
        (Some("localhost:6480:1"), Some(Host)),
        (Some("localhost:99999"), Some(Host)),
        (Some("localhost:"), Some(Host)),
        (Some("[::1"), Some(Host)),
        (Some("[localhost]"), Some(Host)),
    ];
    let origins = [
        (None, None),
        (Some("null"), Some(Origin)),
        (Some(""), Some(Origin)),
        (Some("http://evil.test"), Some(Origin)),
        (Some("http://127.0.0.1:8000"), Some(Origin)),
        (Some("https://127.0.0.1:6480"), Some(Origin)),
        (Some("file://"), Some(Origin)),
    ];
    let tokens = [
        (None, Some(NoToken)),
        (Some("Bearer secret"), None),
        (Some("bearer secret"), None),
        (Some("Bearer wrong"), Some(WrongToken)),
        (Some("Bearer secret2"), Some(WrongToken)),
        (Some("Bearer secre"), Some(WrongToken)),
        (Some("Bearer "), Some(NoToken)),
        (Some("Bearer"), Some(NoToken)),
        (Some("Basic secret"), Some(NoToken)),
        (Some("secret"), Some(NoToken)),
    ];
    let door = door();
    let mut accepted = 0;
    for (method, target, no_request) in requests.into_iter().chain(more) {
        for (host, no_host) in hosts {
            for (origin, no_origin) in origins {
                for (token, no_token) in tokens {
                    let named = [("Host", host), ("oRiGiN", origin), ("Authorization", token)];
                    let headers: Vec<_> = named.iter().filter_map(|(name, value)| value.map(|value| (*name, value))).collect();
                    let expected = no_request.or(no_host).or(no_origin).or(no_token).map_or(Ok(()), Err);
                    assert_eq!(door.decide(&head(method, target, &headers)), expected, "{method} {target} {headers:?}");
                    accepted += u32::from(expected.is_ok());
                }
            }
        }
    }
    assert_eq!(accepted, 8);
}

#[test]
fn an_origin_is_foreign_unless_it_is_the_host_asked_for() {
    let decide =
        |host, origin| door().decide(&head("GET", PATH, &[("Host", host), ("Origin", origin), ("Authorization", "Bearer secret")]));
    assert_eq!(decide("127.0.0.1:6480", "http://127.0.0.1:6480"), Ok(()));
    assert_eq!(decide("localhost", "http://LOCALHOST:80"), Ok(()));
    assert_eq!(decide("[::1]:6480", "http://[0:0::1]:6480"), Ok(()));
    assert_eq!(decide("127.0.0.1:6480", "http://localhost:6480"), Err(Refusal::Origin));
    assert_eq!(decide("evil.test", "http://evil.test"), Err(Refusal::Host));
}

#[test]
fn doubled_headers_and_requests_for_no_websocket_are_refused() {
    let right = [("Host", "localhost"), ("Authorization", "Bearer secret")];
    for doubled in [("Host", "evil.test"), ("Authorization", "Bearer wrong"), ("Sec-WebSocket-Key", KEY)] {
        let headers = [right[0], right[1], doubled];
        assert_eq!(door().decide(&head("GET", PATH, &headers)), Err(Refusal::Malformed), "{doubled:?}");
    }
    let origins = [right[0], right[1], ("Origin", "http://localhost"), ("Origin", "http://evil.test")];
    assert_eq!(door().decide(&head("GET", PATH, &origins)), Err(Refusal::Malformed));
    assert_eq!(door().decide(&Head::new("GET", PATH, &right)), Err(Refusal::NoUpgrade));
    let short = [right[0], right[1], ("Connection", "upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    assert_eq!(door().decide(&Head::new("GET", PATH, &short)), Err(Refusal::NoUpgrade));
}

#[test]
fn wrong_tokens_are_counted_by_address_and_minute() {
    let (door, now) = (door(), Instant::now());
    let try_token = |token, from: &str, now| {
        door.admit(&head("GET", PATH, &[("Host", "localhost"), ("Authorization", token)]), from.parse().unwrap(), now)
    };
    for _ in 0..MAX_WRONG {
        assert_eq!(try_token("Bearer wrong", "10.0.0.1", now), Err(Refusal::WrongToken));
    }
    assert_eq!(try_token("Bearer wrong", "10.0.0.1", now), Err(Refusal::TooMany));
    assert_eq!(try_token("Bearer wrong", "::ffff:10.0.0.1", now), Err(Refusal::TooMany));
    assert_eq!(try_token("Bearer secret", "10.0.0.1", now), Ok(()));
    assert_eq!(try_token("Bearer wrong", "10.0.0.2", now), Err(Refusal::WrongToken));
    assert_eq!(try_token("Bearer wrong", "10.0.0.1", now + MINUTE), Err(Refusal::WrongToken));

    for _ in 0..MAX_WRONG {
        assert_eq!(try_token("Bearer wrong", "2001:db8::1", now), Err(Refusal::WrongToken));
    }
    assert_eq!(try_token("Bearer wrong", "2001:db8::2", now), Err(Refusal::TooMany), "one network, many addresses");
}

#[test]
fn a_flood_of_addresses_costs_bounded_memory_and_ages_out() {
    let (door, now) = (door(), Instant::now());
    let wrong = head("GET", PATH, &[("Host", "localhost"), ("Authorization", "Bearer wrong")]);
    for number in 0..5_000_u32 {
        let _ = door.admit(&wrong, IpAddr::V4(number.into()), now);
    }
    assert_eq!(door.wrong.lock().unwrap().len(), MAX_ADDRESSES);
    assert_eq!(door.admit(&wrong, IpAddr::V4(9_999.into()), now), Err(Refusal::TooMany));
    assert_eq!(door.admit(&wrong, IpAddr::V4(9_999.into()), now + MINUTE), Err(Refusal::WrongToken));
}

#[test]
fn heads_are_read_whole_or_refused() {
    assert_eq!(Head::parse(b"GET / HTTP/1.1\r\nHost: a\r\n"), Ok(None));
    let (head, len) = Head::parse(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest").unwrap().unwrap();
    assert_eq!((head.one("HOST").unwrap(), len), (Some(b"a".as_slice()), 27));
    assert_eq!(Head::parse(b"GET / HTTP/1.0\r\n\r\n"), Err(Refusal::Malformed));
    assert_eq!(Head::parse(b"\x16\x03\x01\x02\x00\x01"), Err(Refusal::Malformed));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
    assert_eq!(Head::parse(many.as_bytes()), Err(Refusal::TooLarge));
}

proptest::proptest! {
    #[test]
    fn no_head_panics(bytes: Vec<u8>, host: String, origin: String, authorization: String) {
        if let Ok(Some((head, _))) = Head::parse(&bytes) {
            let _ = door().decide(&head);
        }
        let headers = [("Host", host.as_str()), ("Origin", &origin), ("Authorization", &authorization)];
        proptest::prop_assert!(door().decide(&head("GET", PATH, &headers)).is_err());
        let origins = [("Host", "localhost"), ("Origin", &origin), ("Authorization", &authorization)];
        proptest::prop_assert!(door().decide(&head("GET", PATH, &origins)).is_err());
    }
}
