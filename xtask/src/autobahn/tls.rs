//! TLS around kosoku, which has none: Debian's socat, so that the other end is OpenSSL.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    process::{Server, Stream, ask},
    workspace::Workspace,
};

const START_MAX: Duration = Duration::from_secs(10);

/// A certificate for 127.0.0.1 that is good for ten days, and the root that signed it.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) root: PathBuf,
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

/// A program that takes the TLS off or puts it on, until it is dropped.
#[derive(Debug)]
pub(super) struct Tunnel {
    /// Where it listens.
    pub(super) port: u16,
    _process: Server,
}

impl Certificate {
    /// Makes root and certificate in `folder`.
    pub(super) fn make(workspace: &Workspace, folder: &Path) -> Result<Self, String> {
        let file = |name: &str| folder.join(name);
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let openssl = |args: &[&str]| {
            let mut command = workspace.command("openssl");
            command.current_dir(folder).args(args);
            command
        };
        let mut root = openssl(&["req", "-x509", "-days", "10", "-subj", "/CN=taiwa test root"]);
        ask(root.args(key).args(["-keyout", "root.key", "-out", "root.pem"]))?;
        let mut request = openssl(&["req", "-subj", "/CN=localhost"]);
        ask(request.args(key).args(["-keyout", "server.key", "-out", "server.csr"]))?;
        let names = "basicConstraints=CA:FALSE\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n";
        fs::write(file("names"), names).map_err(|it| it.to_string())?;
        let mut sign = openssl(&["x509", "-req", "-days", "10", "-in", "server.csr"]);
        sign.args(["-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial"]);
        ask(sign.args(["-extfile", "names", "-out", "server.pem"]))?;
        Ok(Self { root: file("root.pem"), chain: file("server.pem"), key: file("server.key") })
    }

    /// Listens plainly and speaks TLS to our server, whose certificate must be good.
    pub(super) fn tunnel_to_tls(&self, workspace: &Workspace, to: u16) -> Result<Tunnel, String> {
        let root = self.root.display();
        tunnel(
            workspace,
            "TCP-LISTEN:0,bind=127.0.0.1,fork,nodelay",
            &format!("OPENSSL:127.0.0.1:{to},cafile={root},commonname=localhost,nodelay"),
        )
    }

    /// Listens with TLS for our client and speaks plainly to kosoku.
    pub(super) fn tunnel_to_tcp(&self, workspace: &Workspace, to: u16) -> Result<Tunnel, String> {
        let (chain, key) = (self.chain.display(), self.key.display());
        tunnel(
            workspace,
            &format!(
                "OPENSSL-LISTEN:0,bind=127.0.0.1,fork,cert={chain},key={key},verify=0,nodelay"
            ),
            &format!("TCP:127.0.0.1:{to},nodelay"),
        )
    }
}

/// When one side has ended, the other still has ten seconds to say its last bytes; socat's half a
/// second is too short for a busy machine.
fn tunnel(workspace: &Workspace, from: &str, to: &str) -> Result<Tunnel, String> {
    let mut socat = workspace.command("socat");
    let process = Server::start(socat.args(["-d", "-d", "-t", "10", from, to]), Stream::Err)?;
    let port = process.tells(START_MAX, |line| {
        line.split_once("listening on ")?.1.rsplit_once(':')?.1.trim().parse().ok()
    })?;
    Ok(Tunnel { port, _process: process })
}
