//! Offers of permessage-deflate and the answers to them.

use super::*;
use crate::handshake::extensions::parse_extensions;

const CLIENT_KEEPS_NOTHING: &str = "permessage-deflate; server_no_context_takeover; \
     client_no_context_takeover; client_max_window_bits, permessage-deflate; \
     client_no_context_takeover; client_max_window_bits";

fn keeping() -> Deflate {
    Deflate { keep_our_context: true, keep_peer_context: true, ..Deflate::default() }
}

fn list(line: &str) -> Vec<Extension> {
    parse_extensions([line.as_bytes()]).expect("a well-formed line")
}

/// Puts the extension's name in front, for rows that fit a line.
fn pmd(params: &str) -> String {
    if params.is_empty() { NAME.to_owned() } else { format!("{NAME}; {params}") }
}

#[track_caller]
fn check_accept(config: &Deflate, offer: &str, answer: Option<&str>) {
    let accepted = accept(config, &list(offer));
    assert_eq!(accepted.as_ref().map(|it| it.1.as_str()), answer, "{offer}");
    // What we agree to is what the answer says.
    if let Some((params, answer)) = accepted {
        let read = agreed(&keeping(), &list(&answer)[0]).expect("a legal answer");
        assert_eq!(read, params, "{offer}");
    }
}

#[test]
fn a_server_that_keeps_contexts_answers_only_what_was_offered() {
    for (offer, answer) in [
        ("", ""),
        ("server_no_context_takeover", "server_no_context_takeover"),
        ("client_no_context_takeover", "client_no_context_takeover"),
        ("client_max_window_bits", ""),
        ("client_max_window_bits=15", "client_max_window_bits=15"),
        ("client_max_window_bits=8", "client_max_window_bits=8"),
        ("client_max_window_bits=\"10\"", "client_max_window_bits=10"),
        ("server_max_window_bits=15", "server_max_window_bits=12"),
        ("server_max_window_bits=12", "server_max_window_bits=12"),
        ("server_max_window_bits=9", "server_max_window_bits=9"),
        (
            "client_max_window_bits=11; server_max_window_bits=10; client_no_context_takeover; \
             server_no_context_takeover",
            "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; \
             client_max_window_bits=11",
        ),
    ] {
        check_accept(&keeping(), &pmd(offer), Some(&pmd(answer)));
    }
}

#[test]
fn a_server_that_keeps_no_context_says_so_unasked() {
    for (config, answer) in [
        (Deflate::default(), "server_no_context_takeover; client_no_context_takeover"),
        (Deflate { keep_our_context: false, ..keeping() }, "server_no_context_takeover"),
        (Deflate { keep_peer_context: false, ..keeping() }, "client_no_context_takeover"),
    ] {
        check_accept(&config, &pmd(""), Some(&pmd(answer)));
        check_accept(&config, &pmd("client_max_window_bits"), Some(&pmd(answer)));
    }
}

#[test]
fn a_server_asks_for_a_small_window_only_where_it_saves_memory() {
    let small = Deflate { peer_window_bits: 11, ..keeping() };
    for (offer, answer) in [
        ("", ""),
        ("client_max_window_bits", "client_max_window_bits=11"),
        ("client_max_window_bits=15", "client_max_window_bits=11"),
        ("client_max_window_bits=9", "client_max_window_bits=9"),
    ] {
        check_accept(&small, &pmd(offer), Some(&pmd(answer)));
    }
    let forgets = Deflate { keep_peer_context: false, ..small };
    check_accept(
        &forgets,
        &pmd("client_max_window_bits"),
        Some(&pmd("client_no_context_takeover")),
    );
}

/// One row a wrong parameter, for offers and answers alike.
const WRONG: [&str; 32] = [
    "server_max_window_bits",
    "server_max_window_bits=0",
    "server_max_window_bits=1",
    "server_max_window_bits=7",
    "server_max_window_bits=16",
    "server_max_window_bits=99",
    "server_max_window_bits=08",
    "server_max_window_bits=010",
    "server_max_window_bits=+9",
    "server_max_window_bits=-9",
    "server_max_window_bits=9x",
    "server_max_window_bits=1e1",
    "server_max_window_bits=265",
    "server_max_window_bits=18446744073709551625",
    "server_max_window_bits=10; server_max_window_bits=10",
    "client_max_window_bits=0",
    "client_max_window_bits=7",
    "client_max_window_bits=16",
    "client_max_window_bits=08",
    "client_max_window_bits=+9",
    "client_max_window_bits=nine",
    "client_max_window_bits=10; client_max_window_bits",
    "client_max_window_bits=10; client_max_window_bits=11",
    "server_no_context_takeover=1",
    "server_no_context_takeover=true",
    "server_no_context_takeover; server_no_context_takeover",
    "client_no_context_takeover=0",
    "client_no_context_takeover; client_no_context_takeover",
    "client_no_context_takeover; server_no_context_takeover; client_no_context_takeover",
    "window_bits=10",
    "Server_No_Context_Takeover",
    "client_no_context_takeover; x",
];

#[test]
fn a_bad_offer_is_declined_and_the_next_one_looked_at() {
    for params in WRONG.into_iter().chain([
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=10",
        // Legal, but zlib's compressors have no such window.
        "server_max_window_bits=8",
    ]) {
        let bad = pmd(params);
        check_accept(&keeping(), &bad, None);
        check_accept(&keeping(), &format!("{bad}, {NAME}"), Some(NAME));
        check_accept(&keeping(), &format!("{NAME}, {bad}"), Some(NAME));
    }
}

#[test]
fn the_first_offer_that_can_be_served_wins() {
    let first = "permessage-bzip2, x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=8, \
                 permessage-deflate; server_max_window_bits=10, permessage-deflate";
    check_accept(&keeping(), first, Some("permessage-deflate; server_max_window_bits=10"));
    check_accept(&keeping(), "permessage-bzip2, permessage-deflate-x", None);
    assert_eq!(accept(&keeping(), &[]), None);
}

#[test]
fn an_offer_names_what_is_not_kept_and_has_a_way_back() {
    for (config, line) in [
        (Deflate::default(), CLIENT_KEEPS_NOTHING.to_owned()),
        (keeping(), pmd("client_max_window_bits")),
        (
            Deflate { keep_our_context: false, ..keeping() },
            pmd("client_no_context_takeover; client_max_window_bits"),
        ),
        (
            Deflate { keep_peer_context: false, ..keeping() },
            format!(
                "{}, {}",
                pmd("server_no_context_takeover; client_max_window_bits"),
                pmd("client_max_window_bits")
            ),
        ),
        (
            Deflate { peer_window_bits: 10, ..keeping() },
            format!(
                "{}, {}",
                pmd("server_max_window_bits=10; client_max_window_bits"),
                pmd("client_max_window_bits")
            ),
        ),
    ] {
        assert_eq!(offer(&config), line);
    }
}

#[track_caller]
fn check_agreed(config: &Deflate, answer: &str, takeovers_end: (bool, bool), bits: (u8, u8)) {
    let params = Params {
        server_no_context_takeover: takeovers_end.0,
        client_no_context_takeover: takeovers_end.1,
        server_max_window_bits: bits.0,
        client_max_window_bits: bits.1,
    };
    assert_eq!(agreed(config, &list(&pmd(answer))[0]), Some(params), "{answer}");
}

#[test]
fn a_client_takes_every_legal_answer() {
    for (answer, takeovers_end, bits) in [
        ("", (false, false), (15, 15)),
        ("server_no_context_takeover", (true, false), (15, 15)),
        ("client_no_context_takeover", (false, true), (15, 15)),
        ("server_max_window_bits=8", (false, false), (8, 15)),
        ("server_max_window_bits=15", (false, false), (15, 15)),
        ("client_max_window_bits=10; server_max_window_bits=9", (false, false), (9, 10)),
        ("client_max_window_bits=8", (false, false), (15, 8)),
    ] {
        check_agreed(&keeping(), answer, takeovers_end, bits);
    }
    // We don't take over our context if we said so in the offer, whatever the answer says.
    check_agreed(&Deflate::default(), "", (false, true), (15, 15));
}

#[test]
fn a_client_refuses_every_illegal_answer() {
    // "client_max_window_bits" needs its value in an answer (RFC 7692 §7.1.2.2).
    for params in WRONG.into_iter().chain(["client_max_window_bits"]) {
        for config in [Deflate::default(), keeping()] {
            assert_eq!(agreed(&config, &list(&pmd(params))[0]), None, "{params}");
        }
    }
    assert_eq!(agreed(&keeping(), &list("permessage-bzip2")[0]), None);
}

#[test]
fn both_our_ends_always_agree() {
    let mut configs = Vec::new();
    for keep in 0..4 {
        for peer_window_bits in [0, 9, 12, 15] {
            for window_bits in [0, 9, 12, 15, 255] {
                configs.push(Deflate {
                    keep_our_context: keep & 1 != 0,
                    keep_peer_context: keep & 2 != 0,
                    window_bits,
                    peer_window_bits,
                    ..Deflate::default()
                });
            }
        }
    }
    for client in &configs {
        for server in &configs {
            let (params, answer) = accept(server, &list(&offer(client))).expect("our own offer");
            assert_eq!(agreed(client, &list(&answer)[0]), Some(params), "{client:?} {server:?}");
            assert!(params.server_no_context_takeover || client.keep_peer_context);
            assert!(params.server_no_context_takeover || server.keep_our_context);
            assert!(params.client_no_context_takeover || client.keep_our_context);
            assert!(params.client_no_context_takeover || server.keep_peer_context);
        }
    }
}
