//! `taiwa token`: makes tokens, and says what the server thinks of one.

mod check;
mod make;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::{
    args::Time,
    config::flags::FewFlags,
    exit::{Exit, Failure},
};

/// Make tokens (JWT) for clients, and check them against the settings
#[derive(Args, Debug)]
pub(crate) struct Token {
    #[command(subcommand)]
    verb: TokenVerb,
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    Make(Make),
    Check(Check),
}

/// Make a token for a connection, or with --channel for a subscription
///
/// It is signed with the first of auth.jwt.secrets (HS256), or with --key. If the settings name
/// audiences and issuers, it gets the first of each.
#[derive(Args, Debug)]
#[command(after_help = MAKE_EXAMPLES)]
pub(crate) struct Make {
    /// Whose it is; without it the client has no user
    #[arg(short, long, value_name = "USER", default_value = "", hide_default_value = true)]
    user: String,
    /// How long it is good; `off` for ever
    #[arg(short, long, value_name = "TIME", default_value = "1h")]
    ttl: Time,
    /// Make it for a subscription to this channel
    #[arg(short, long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Another claim; the value is JSON if it can be read as such, otherwise text. Repeat for more
    #[arg(long, value_name = "NAME=VALUE", value_parser = make::claim)]
    claim: Vec<(String, serde_json::Value)>,
    /// Sign with this private key, in PEM (PKCS #8)
    #[arg(short, long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Sign by this algorithm, as RS512 [default: HS256, or that of the key]
    #[arg(long, value_name = "NAME", value_parser = make::algorithm)]
    algorithm: Option<jsonwebtoken::Algorithm>,
    /// Say which key it was signed with, for those who have several
    #[arg(long, value_name = "NAME")]
    kid: Option<String>,
    #[command(flatten)]
    settings: FewFlags,
}

/// Say whether a token would be taken, and if not, why
///
/// Its claims go to stdout as JSON if it would be taken. What it is for tells whether it is checked
/// as a connection's or, with the claim `channel`, as a subscription's.
#[derive(Args, Debug)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct Check {
    /// The token; without it, it is read from stdin
    token: Option<String>,
    /// Who brings a token for a subscription [default: whoever it is for]
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// For which channel [default: whichever it is for]
    #[arg(short, long, value_name = "CHANNEL")]
    channel: Option<String>,
    #[command(flatten)]
    settings: FewFlags,
}

const MAKE_EXAMPLES: &str = "\
Examples:
  export TAIWA_AUTH__JWT__SECRETS=$(openssl rand -hex 32)
  taiwa token make --user ada
  taiwa token make --user ada --ttl 5m --claim 'info={\"name\":\"Ada\"}' --claim 'channels=[\"news\"]'
  taiwa token make --user ada --channel 'dialogue#ada,bob'
  taiwa token make --user ada --key private.pem --kid 2026

Exit codes:
  0  made
  2  bad arguments, settings or key, or there is no secret";

const CHECK_EXAMPLES: &str = "\
Examples:
  taiwa token make --user ada | taiwa token check
  taiwa token check --config /etc/taiwa.toml eyJhbGciOi..

Exit codes:
  0  it would be taken
  2  bad arguments or settings, or there are no keys
  5  it would be refused";

/// Runs it.
pub(crate) async fn run(token: Token) -> Result<Exit, Failure> {
    match token.verb {
        TokenVerb::Make(make) => make::run(make),
        TokenVerb::Check(check) => check::run(check).await,
    }
}
