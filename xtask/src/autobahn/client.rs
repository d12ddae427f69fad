//! Our client under test: kosoku is the server, crates/taiwa/examples/autobahn_client.rs the client.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::process::{self, Server, Stream};

use super::{Suite, Transport, bridge::Bridge, report::Report, server::port, tls::Certificate};

const START_MAX: Duration = Duration::from_secs(20);
const WRITE_MAX: Duration = Duration::from_secs(60);
const PARALLEL: &str = "4";

impl Suite<'_> {
    /// Starts kosoku's server and lets our client go through its cases.
    pub(super) fn run_client(
        &self,
        transport: Transport,
        certificate: Option<&Certificate>,
        folder: &Path,
    ) -> Result<Report, String> {
        let start = Instant::now();
        let mut kosoku = self.kosoku();
        kosoku.args(["-m", "fuzzingserver", "127.0.0.1:0", "-o"]).arg(folder);
        kosoku.args(self.cases.options());
        let server = Server::start(&mut kosoku, Stream::Err)?;
        let plain = server.tells(START_MAX, port)?;

        let forgetful = self.cases.first_of_group_13().to_string();
        let program = self.workspace.release("examples/autobahn_client");
        let mut client = self.workspace.command(program);
        let end = match certificate {
            None => {
                client.args([&format!("ws://127.0.0.1:{plain}"), "taiwa", PARALLEL, &forgetful]);
                process::run(&mut client, self.within)
            }
            Some(certificate) if transport == Transport::Http2 => {
                let bridge = Bridge::to_kosoku(self.workspace, folder, certificate, plain)?;
                let url = format!("wss://127.0.0.1:{}", bridge.port);
                client.args([&url, "taiwa", PARALLEL, &forgetful]);
                client.arg(&certificate.root).arg("http2");
                process::run(&mut client, self.within)
            }
            Some(certificate) => {
                let tunnel = certificate.tunnel_to_tcp(self.workspace, plain)?;
                let url = format!("wss://127.0.0.1:{}", tunnel.port);
                client.args([&url, "taiwa", PARALLEL, &forgetful]);
                client.arg(&certificate.root);
                process::run(&mut client, self.within)
            }
        };
        end?;
        // It ends by itself once it has written the report.
        server.ends(WRITE_MAX)?;
        Report::read(folder, self.cases.count(), start.elapsed())
    }
}
