//! Scenes: transcripts of one client's talk, played against a [`Dialect`]; they are tests and documentation at once.
//!
//! Each line of a scene begins with a mark that says who speaks. What goes in is `>`, `!` and `@`; what must come out of it
//! stands below it, in order, as `<` and `?`.
//!
//! ```text
//! = A title. What follows is a new client, a new clock, a new everything.
//! # A comment. Empty lines are comments too.
//! >: WS /chat?echo=true        A client comes in. `>: WT /chat` is a session of WebTransport; `>: GET /sse` and so on are requests.
//! >| authorization: Bearer x   Its headers, in continuation lines; then an empty one and the body, if there is one.
//!                              That of a session is the message by which it introduces itself.
//! ? 1 subscribe chat via=plain What the dialect asks the hub: the token, then the command.
//! ! 1 subscribed position=7:3  What the hub answers.
//! > {"a": 1}                   What the client sends: a text, as it stands.
//! >| second line               A continuation line: joined to the one above it by a line feed.
//! >* a\r\n                     A text with escapes: \n \r \t \\ \u{1f}.
//! >x 00 ff                     A binary message, in hexadecimal.
//! >b \x0aabc                   A binary message, as ASCII with escapes.
//! < hello                      What the client is sent, in the same ways: `<*`, `<x`, `<b`, `<|`.
//! >: left                      The line ended, also one that was closed. (`>1: left` ends line 1.)
//! @ +25s                       Time passes: ms, s, m, h. `timeout` is called at each deadline on the way.
//! <: end 4401 "who are you"    The conversation ends. `<1: close 1000 ""` ends one line.
//! <: open                      A line that waited for it opens; what was sent on it before arrives then, too.
//! <: 204                       A request is answered; headers, an empty line and the body follow as continuation lines.
//! <: stream                    It is answered with a stream. `<: poll separator="\n"`: with a poll.
//! <: refused NotFound "text"   `Dialect::open` refused. `<: no door`: no door of the dialect fits.
//! ```
//!
//! A number behind the mark names the line or exchange if it is not 0: `>1 text`, `<1: 200`. The server numbers them in the
//! order in which they come. The address that a later request must name is [`ADDRESS`], its session is [`SESSION`].
//!
//! **To the hub (`?`)** after the token stand the command, its fields and flags, and last its payload. A value is a bare word,
//! or quoted with escapes. `link=1` stands in front if it is not link 0.
//!
//! ```text
//! connect token= client=name/version knows=chat@7:3 via= delta-via= resume=SESSION+SECRET/5 PAYLOAD
//! subscribe CHANNEL via=ENCODING|personal delta-via= since=7:3 last positioned join-leave filter= no-echo once token= PAYLOAD
//! publish CHANNEL event= id= key= tag=name:value except=SESSION receipt transient volatile PAYLOAD
//! refresh token=    refresh-subscription CHANNEL token=    unsubscribe CHANNEL    presence CHANNEL    counts CHANNEL
//! history CHANNEL since=7:3 limit=5 reverse    call METHOD PAYLOAD    tell PAYLOAD    leave    keep 30s    read 5
//! ```
//!
//! In the place of a channel a pattern is `levels=a/+`, `words=a.*`, or `prefix=a`. Without a token stand `? flow 1`,
//! `? flow none`, `? answer 7 PAYLOAD` and `? answer 7 refused Forbidden "text"`.
//!
//! **From the hub (`!`)** the first word is a token, and a reply follows, or an event. Continuation lines are parts of it.
//!
//! ```text
//! 1 done    1 refused KIND "text" code=7 after=2s details={}    1 answer PAYLOAD    1 counts 3 2    1 expires 25s|never
//! 1 kept session= secret=
//! 1 connected session= user= expires= PAYLOAD, below it "sub CHANNEL" with the fields of subscribed, "pub" below these
//! 1 subscribed position= recoverable positioned delta expires= recovered=whole|gap PAYLOAD, below it "pub"
//! 1 published position= delivered= repeated    1 presence, below it "member session= user= info= channel-info="
//! 1 history position=, below it "pub CHANNEL" with the fields of said
//! said CHANNEL position= event= key= tag=name:value delta= at= session= user= info= dialect= number= target=… PAYLOAD
//! joined CHANNEL of-user session= user= info= channel-info=    left …    expiring    refreshed, as connected    told PAYLOAD
//! subscribed CHANNEL, as above    unsubscribed CHANNEL App|Expired|Slow|InsufficientState|limit=text    call 7 METHOD PAYLOAD
//! missed CHANNEL count= position=
//! disconnect Done|BadRequest|Unauthorized|Stale|Slow|Expired|Revoked|InsufficientState|Rate|Replaced
//! disconnect Limit "text"    disconnect Shutdown after=5s    disconnect App code=4000 may-return "text"
//! ```
//!
//! What is `said`, `joined` or `left` takes the delivery that was asked for when subscribing: a shared one is encoded and sent
//! on the line to which it flows, a personal one is an [`Event`](crate::Event). A scene says only what reaches this client. A session
//! that goes on whole hears any channel as its first link wanted it.
//!
//! **Payloads** end their line: `json {"a":1}`, `text hello`, `binary 00ff`, `mixed {"a":<00ff>}`; `text*` and `json*` have
//! escapes.

mod script;
mod fields;
mod asked;
mod told;
mod ledger;
mod stage;
mod shake;

pub use shake::shake;

use std::time::Instant;

use crate::{Dialect, SessionId};

/// The address of each client of a scene; see [`Knock::address`](crate::Knock::address).
pub const ADDRESS: &str = "address-of-the-scene";

/// The session of each client of a scene, and the bits of [`Knock::random`](crate::Knock::random).
pub const SESSION: SessionId = SessionId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

/// Plays all scenes of a text, whose clocks begin at `start`.
///
/// # Errors
///
/// What differs from the text first, with the number of its line; or a line that can't be read; or what no dialect may do,
/// such as answering a request twice or saying something after its end.
pub fn play(dialect: &dyn Dialect, text: &str, start: Instant) -> Result<(), String> {
    let mut stage = stage::Stage::new(dialect, start);
    let blocks = script::blocks(text)?;
    if !blocks.iter().any(script::Block::is_input) {
        return Err("no line of it is an input".into());
    }
    let mut rest = blocks.as_slice();
    while let [first, behind @ ..] = rest {
        let outputs = behind.iter().take_while(|it| it.is_output()).count();
        let (expected, behind) = behind.split_at(outputs);
        let title = first.mark == '=';
        if title {
            stage = stage::Stage::new(dialect, start);
        }
        if first.is_output() || title && !expected.is_empty() {
            return Err(format!("line {}: nothing went in that it could come from", first.number));
        }
        if !title {
            let shown = stage.step(first).map_err(|it| format!("line {}: {it}", first.number))?;
            compare(first, expected, &shown)?;
        }
        rest = behind;
    }
    Ok(())
}

fn compare(
    input: &script::Block,
    expected: &[script::Block],
    shown: &[String],
) -> Result<(), String> {
    let mut wanted = vec![];
    for block in expected {
        wanted.push(block.canonical().map_err(|it| format!("line {}: {it}", block.number))?);
    }
    if wanted == shown {
        return Ok(());
    }
    let same = wanted.iter().zip(shown).take_while(|(a, b)| a == b).count();
    let mut text = match expected.get(same) {
        Some(block) => format!("line {}: this differs\n", block.number),
        None => format!("line {}: more came of it\n", input.number),
    };
    for (sign, lines) in [("  wanted ", &wanted[same..]), ("     got ", &shown[same..])] {
        let none = ["nothing more".to_owned()];
        for line in if lines.is_empty() { &none } else { lines } {
            text += &format!("{sign}{}\n", line.replace('\n', "\n         "));
        }
    }
    Err(text)
}

#[cfg(test)]
mod tests;
