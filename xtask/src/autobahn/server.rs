//! Our server under test: kosoku is the client.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::process::{self, Server, Stream};

use super::{Compressor, Suite, Transport, bridge::Bridge, report::Report, tls::Certificate};

const START_MAX: Duration = Duration::from_secs(20);

/// Cases at the same time. More would be no faster on two cores.
const PARALLEL: &str = "4";

impl Suite<'_> {
    /// Starts `taiwa serve` and runs the cases against its `/echo`.
    pub(super) fn run_server(
        &self,
        compressor: Compressor,
        transport: Transport,
        certificate: Option<&Certificate>,
        folder: &Path,
    ) -> Result<Report, String> {
        let mut serve = self.workspace.command(self.workspace.release("taiwa"));
        serve.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"]);
        // Group 9 sends messages of 16 MiB, and some in 65,536 fragments. Small messages are
        // compressed too: that is what groups 12 and 13 are about.
        serve.args(["--message-max", "32MiB", "--fragments-max", "100000", "--compress-min", "0"]);
        if compressor == Compressor::Dedicated {
            serve.args(["--compress", "dedicated", "--compress-window", "15"]);
        }
        if let Some(certificate) = certificate {
            serve.arg("--tls-cert").arg(&certificate.chain);
            serve.arg("--tls-key").arg(&certificate.key);
        }
        let server = Server::start(&mut serve, Stream::Out)?;
        let port = server.tells(START_MAX, port)?;
        match certificate {
            None => self.fuzz_server(&format!("ws://127.0.0.1:{port}/echo"), folder),
            Some(certificate) if transport == Transport::Http2 => {
                let bridge = Bridge::to_us(self.workspace, folder, certificate, port)?;
                self.fuzz_server(&format!("ws://127.0.0.1:{}/echo", bridge.port), folder)
            }
            Some(certificate) => {
                let tunnel = certificate.tunnel_to_tls(self.workspace, port)?;
                self.fuzz_server(&format!("ws://127.0.0.1:{}/echo", tunnel.port), folder)
            }
        }
    }

    /// Runs the cases against the server at `url`.
    pub(super) fn fuzz_server(&self, url: &str, folder: &Path) -> Result<Report, String> {
        let start = Instant::now();
        let mut kosoku = self.kosoku();
        kosoku.args(["-m", "fuzzingclient", url, "-p", PARALLEL, "-o"]).arg(folder);
        kosoku.args(self.cases.options());
        // Its exit code lets NON-STRICT pass; the report decides.
        let end = process::run(&mut kosoku, self.within);
        Report::read(folder, self.cases.count(), start.elapsed())
            .map_err(|why| format!("{why}; {end:?}"))
    }
}

/// Returns the port of the first URL in a line.
pub(super) fn port(line: &str) -> Option<u16> {
    let authority = line.split_once("://")?.1.split(['/', ' ', '\u{1b}']).next()?;
    authority.rsplit_once(':')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_read_from_a_line_with_a_url() {
        assert_eq!(port("taiwa is at http://127.0.0.1:8000/"), Some(8000));
        assert_eq!(port("https://[::1]:443 and more"), Some(443));
        assert_eq!(port("fuzzingserver listening on ws://127.0.0.1:9301"), Some(9301));
        assert_eq!(port("nothing: here"), None);
    }
}
