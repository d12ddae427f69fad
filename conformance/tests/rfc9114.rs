//! HTTP/3 as a server keeps it (RFC 9114, RFC 9204, RFC 9297): every row of the table, written byte by byte on a QUIC connection.

use std::time::Duration;

use taiwa::Http3;
use taiwa_conformance::http3::{
    Outcome, RawQuic, Server, Stream, frame, head,
    violations::{Act, Violation, table},
    websocket,
};
use taiwa_h3::{error::Code, net::Limits};
use taiwa_proto::Config;

const MALFORMED: Outcome = Outcome::Resets(Code::MESSAGE_ERROR);

/// Does what the row says, and returns the last request stream with what must stay open until the end.
async fn act(client: &mut RawQuic, row: &Violation) -> (Option<Stream>, Vec<quinn::SendStream>) {
    let (mut last, mut open) = (None, vec![]);
    for act in &row.acts {
        match act {
            Act::Control(bytes) => client.control(bytes).await,
            Act::EndControl => {
                let mut control = client.take_control();
                // Its first bytes have to be there first, or the server never knows which one it was.
                tokio::time::sleep(Duration::from_millis(20)).await;
                control.finish().expect("open");
                open.push(control);
            }
            Act::ResetControl => {
                let mut control = client.take_control();
                tokio::time::sleep(Duration::from_millis(20)).await;
                control.reset(0_u32.into()).expect("open");
                open.push(control);
            }
            Act::Uni(bytes) => open.push(client.uni(bytes).await),
            Act::UniEnd(bytes) => {
                let mut stream = client.uni(bytes).await;
                stream.finish().expect("open");
                open.push(stream);
            }
            Act::Bidi(bytes) => last = Some(client.bidi(bytes).await),
            Act::BidiEnd(bytes) => {
                let mut stream = client.bidi(bytes).await;
                // A server that has seen enough may have stopped it.
                let _ = stream.send.finish();
                last = Some(stream);
            }
            Act::Datagram(bytes) => {
                client.quic.send_datagram(bytes.clone().into()).expect("they are allowed");
            }
        }
    }
    (last, open)
}

#[tokio::test]
async fn each_violation_is_answered_with_its_code_and_ends_no_more_than_it_must() {
    check(&Server::of_h3(Limits::default())).await;
}

#[tokio::test]
async fn so_it_is_by_the_server_that_people_use() {
    check(&Server::of_taiwa(Http3::default(), Config::default()).await).await;
}

async fn check(server: &Server) {
    let rows = table();
    assert!(120 < rows.len(), "{}", rows.len());
    let mut wrong = vec![];
    for row in &rows {
        let (addr, certificate) = (server.addr(), server.certificate());
        let mut client = match row.has_control {
            true => RawQuic::connect(addr, certificate).await,
            false => RawQuic::knock(addr, certificate).await,
        };
        let (last, _open) = act(&mut client, row).await;
        let outcome = match (row.outcome, last) {
            (Outcome::Closes(_), _) | (_, None) => Outcome::Closes(client.closed().await),
            (_, Some(mut stream)) => stream.outcome().await,
        };
        // RFC 9114 §4.1.2: "For malformed requests, a server MAY send an HTTP response indicating the error prior to closing or
        // resetting the stream."
        let is_told = (row.outcome, outcome) == (MALFORMED, Outcome::Answers(400));
        if outcome != row.outcome && !is_told {
            wrong
                .push(format!("{} ({}): {outcome:?}, not {:?}", row.what, row.clause, row.outcome));
        } else if !matches!(outcome, Outcome::Closes(_)) {
            client.is_served().await;
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    RawQuic::connect(server.addr(), server.certificate()).await.is_served().await;
}

#[tokio::test]
async fn a_tunnel_in_single_bytes_is_a_tunnel() {
    let server = Server::of_h3(Limits::default());
    let client = RawQuic::connect(server.addr(), server.certificate()).await;
    let mut stream = client.bidi(&[]).await;
    for byte in
        [head(&websocket("/")), frame(0, b"hello"), frame(0x21, b""), frame(0, b"!")].concat()
    {
        stream.send.write_all(&[byte]).await.expect("open");
    }
    assert_eq!(stream.outcome().await, Outcome::Answers(200));
    stream.send.finish().expect("open");
    assert_eq!(stream.content().await.as_deref(), Ok(&b"hello!"[..]));
}
