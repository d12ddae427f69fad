//! Which versions of TLS are spoken, and how sessions resume, as openssl sees it.

use super::{support::Server, tool};

/// Says a request to the server by `openssl s_client`.
fn s_client(server: &Server, options: &[&str]) -> Option<(bool, String)> {
    let connect = ["s_client", "-connect", &server.addr, "-servername", "localhost"];
    tool("openssl", &[&connect, options].concat())
}

#[test]
fn versions_below_1_2_are_refused() {
    let server = Server::start(&["--tls", "dev"]);
    for (option, version, spoken) in [
        ("-tls1", "TLSv1", false),
        ("-tls1_1", "TLSv1.1", false),
        ("-tls1_2", "TLSv1.2", true),
        ("-tls1_3", "TLSv1.3", true),
    ] {
        // Else openssl itself would not even try the old ones.
        let options = [option, "-cipher", "DEFAULT@SECLEVEL=0"];
        let Some((fine, text)) = s_client(&server, &options) else { return };
        assert_eq!(fine, spoken, "{version}: {text}");
        if spoken {
            assert!(text.contains(&format!("New, {version}, Cipher is")), "{text}");
        } else {
            // It is the server that refuses (RFC 8446 §6.2): `protocol_version`, or `handshake_failure` for want of ciphers.
            let refused = ["SSL alert number 70", "SSL alert number 40"];
            assert!(refused.iter().any(|it| text.contains(it)), "{version}: {text}");
        }
    }
}

#[test]
fn sessions_of_1_2_resume() {
    let server = Server::start(&["--tls", "dev"]);
    let Some((fine, text)) = s_client(&server, &["-tls1_2", "-reconnect"]) else { return };
    assert!(fine, "{text}");
    assert_eq!(text.matches("New, TLSv1.2").count(), 1, "{text}");
    assert_eq!(text.matches("Reused, TLSv1.2").count(), 5, "{text}");
}
