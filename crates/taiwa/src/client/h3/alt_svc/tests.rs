//! `Alt-Svc`: what is read of it, and what is remembered.

use super::*;

fn read(lines: &[&str]) -> Option<Vec<(String, u64, bool)>> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(ALT_SVC, line.parse().unwrap());
    }
    let offers = read_alt_svc(&headers, "a.example")?.into_iter();
    Some(offers.map(|it| (it.at.to_string(), it.fresh_for.as_secs(), it.persists)).collect())
}

#[track_caller]
fn check(header: &str, expected: &[(&str, u64, bool)]) {
    let expected = expected.iter().map(|(at, ma, persists)| ((*at).to_owned(), *ma, *persists));
    assert_eq!(read(&[header]), Some(expected.collect()), "{header}");
}

#[test]
fn hosts_ports_and_times_are_read() {
    check(r#"h3=":443""#, &[("a.example:443", 86_400, false)]);
    check(r#"h3=":8443"; ma=60"#, &[("a.example:8443", 60, false)]);
    check(r#"h3=":8443"; persist=1; ma="60""#, &[("a.example:8443", 60, true)]);
    check(r#"h3=":8443"; persist=2; MA=60; x="y;z""#, &[("a.example:8443", 60, false)]);
    check(r#"h2=":1", h3-29=":2"; ma=5, h3=":3"; ma=7"#, &[("a.example:3", 7, false)]);
    check(r#"h3="B.example:9"; ma=1"#, &[("b.example:9", 1, false)]);
    check(r#"h3="[::1]:9"; ma=1"#, &[("[::1]:9", 1, false)]);
    check(r#"x="a,h3=b", h3=":4""#, &[("a.example:4", 86_400, false)]);
    check(r#"h3=":1"; ma=99999999999"#, &[("a.example:1", 7 * 86_400, false)]);
    let both = r#"h3=":1"; ma=2, h3="b.example:2"; ma=3"#;
    check(both, &[("a.example:1", 2, false), ("b.example:2", 3, false)]);
    let lines = read(&[r#"h3=":1"; ma=2"#, r#"h3=":2"; ma=3"#]).unwrap();
    assert_eq!(lines.len(), 2);
}

#[test]
fn other_protocols_and_wrong_alternatives_are_passed_over_and_replace_what_was_said() {
    for header in [
        r#"h2=":443""#,
        r#"H3=":443""#,
        r#"h3="443""#,
        r#"h3=":0""#,
        r#"h3=":65536""#,
        r#"h3=":443"; ma=soon"#,
        r#"h3="a b:443""#,
        "clear",
    ] {
        check(header, &[]);
    }
}

#[test]
fn nonsense_says_nothing() {
    for header in ["", "h3", "h3=", "h3=:443", "Clear", "clear, clear"] {
        assert_eq!(read(&[header]), None, "{header}");
    }
    assert_eq!(read(&[]), None);
}

#[test]
fn the_age_of_a_response_is_counted() {
    let mut headers = HeaderMap::new();
    headers.insert(ALT_SVC, r#"h3=":1"; ma=60"#.parse().unwrap());
    headers.insert(AGE, "20".parse().unwrap());
    let read = |headers: &HeaderMap| read_alt_svc(headers, "a.example").unwrap()[0].fresh_for;
    assert_eq!(read(&headers).as_secs(), 40);
    headers.insert(AGE, "600".parse().unwrap());
    assert_eq!(read(&headers).as_secs(), 0);
}

fn offer(port: u16, seconds: u64, persists: bool) -> Offer {
    Offer { at: at(port), fresh_for: Duration::from_secs(seconds), persists }
}

fn at(port: u16) -> Alternative {
    Alternative { host: "a.example".to_owned(), port }
}

#[test]
fn the_first_that_is_fresh_and_was_not_missed_is_chosen() {
    let now = Instant::now();
    let after = |seconds| now + Duration::from_secs(seconds);
    let mut known = Alternatives::default();
    assert_eq!(known.choose(now), Choice::Nothing);
    known.learn(vec![offer(1, 10, false), offer(2, 60, false), offer(3, 60, false)], 2, now);
    assert_eq!(known.choose(now), Choice::Try(at(1)));
    known.miss(&at(1), Duration::from_secs(5), now);
    assert_eq!(known.choose(now), Choice::Try(at(2)));
    known.miss(&at(2), Duration::from_secs(50), now);
    let missed = Choice::Missed(at(1), Duration::from_secs(4));
    assert_eq!(known.choose(after(1)), missed, "the third was one too many");
    assert_eq!(known.choose(after(5)), Choice::Try(at(1)));
    assert_eq!(known.choose(after(20)), Choice::Missed(at(2), Duration::from_secs(30)));
    assert_eq!(known.choose(after(60)), Choice::Nothing);
}

#[test]
fn what_was_missed_stays_so_when_it_is_offered_again() {
    let now = Instant::now();
    let mut known = Alternatives::default();
    known.learn(vec![offer(1, 60, false)], 4, now);
    known.miss(&at(1), Duration::from_secs(10), now);
    known.learn(vec![offer(1, 60, false), offer(1, 70, false)], 4, now);
    assert_eq!(known.choose(now), Choice::Missed(at(1), Duration::from_secs(10)));
    known.learn(Vec::new(), 4, now);
    assert_eq!(known.choose(now), Choice::Nothing);
}

#[test]
fn in_another_network_only_what_persists_is_known_and_nothing_was_missed() {
    let now = Instant::now();
    let mut known = Alternatives::default();
    known.learn(vec![offer(1, 60, false), offer(2, 60, true)], 4, now);
    known.miss(&at(2), Duration::from_secs(10), now);
    known.leave_network();
    assert_eq!(known.choose(now), Choice::Try(at(2)));
}
