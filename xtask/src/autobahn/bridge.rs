//! Debian's HAProxy between kosoku, which speaks HTTP/1.1 alone, and us: it translates both ways between `Upgrade` and the
//! extended CONNECT of RFC 8441, and passes the frames on as they are.

use std::{fs, net::TcpListener, path::Path};

use crate::{process::Server, workspace::Workspace};

use super::tls::Certificate;

/// Where Debian has it, which is not where every user's PATH leads.
const PROGRAM: &str = "/usr/sbin/haproxy";

/// HAProxy with one frontend, until it is dropped.
#[derive(Debug)]
pub(super) struct Bridge {
    /// Where it listens.
    pub(super) port: u16,
    _process: Server,
}

impl Bridge {
    /// Listens plainly for kosoku, and opens WebSockets at our server over HTTP/2 and nothing else.
    pub(super) fn to_us(
        workspace: &Workspace,
        folder: &Path,
        certificate: &Certificate,
        to: u16,
    ) -> Result<Self, String> {
        let root = certificate.root.display();
        let tls = format!("ssl verify required ca-file {root} sni str(localhost)");
        Self::start(workspace, folder, "", &format!("127.0.0.1:{to} {tls} alpn h2 ws h2"))
    }

    /// Listens for our client with TLS, speaks HTTP/2 to it and nothing else, and HTTP/1.1 to kosoku.
    pub(super) fn to_kosoku(
        workspace: &Workspace,
        folder: &Path,
        certificate: &Certificate,
        to: u16,
    ) -> Result<Self, String> {
        let read = |path: &Path| fs::read(path).map_err(|it| format!("{}: {it}", path.display()));
        let both = [read(&certificate.chain)?, read(&certificate.key)?].concat();
        let pem = folder.join("haproxy.pem");
        fs::write(&pem, both).map_err(|it| format!("{}: {it}", pem.display()))?;
        let tls = format!("ssl crt {} alpn h2 proto h2", pem.display());
        Self::start(workspace, folder, &tls, &format!("127.0.0.1:{to}"))
    }

    fn start(
        workspace: &Workspace,
        folder: &Path,
        bind: &str,
        server: &str,
    ) -> Result<Self, String> {
        // Whoever connects before it is ready waits in the listener that it inherits.
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|it| it.to_string())?;
        let port = listener.local_addr().map_err(|it| it.to_string())?.port();
        let config = folder.join("haproxy.cfg");
        let text = format!(
            "global\n  maxconn 200\ndefaults\n  mode http\n  timeout connect 5s\n  \
             timeout client 120s\n  timeout server 120s\n  timeout tunnel 120s\nlisten bridge\n  \
             bind fd@0 {bind}\n  server one {server}\n"
        );
        fs::write(&config, text).map_err(|it| format!("{}: {it}", config.display()))?;
        let mut haproxy = workspace.command(PROGRAM);
        let process = Server::on(haproxy.args(["-db", "-f"]).arg(&config), listener)?;
        Ok(Self { port, _process: process })
    }
}
