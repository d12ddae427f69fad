//! How many files and sockets the process may have open.

use tracing::{info, warn};

/// What a server needs beside its connections: listeners, polls, files, its own requests.
const BESIDE: u64 = 64;

/// Raises the limit to what the system lets the process have, and warns if that is too little for so many connections.
#[cfg(unix)]
pub(crate) fn raise(connections_max: usize) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let (before, may_have) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => return warn!("can't read the limit of open files: {error}"),
    };
    let has = match setrlimit(Resource::RLIMIT_NOFILE, may_have, may_have) {
        Ok(()) => may_have,
        Err(error) => {
            warn!("the limit of open files stays at {before}, not {may_have}: {error}");
            before
        }
    };
    if has != before {
        info!(before, after = has, "the limit of open files is raised");
    }
    let needed = (connections_max as u64).saturating_add(BESIDE);
    if has < needed {
        warn!(
            "limits.server.connections_max is {connections_max}, which takes {needed} open files, and this process may have \
             {has}: connections past that wait"
        );
    }
}

/// Other systems have no such limit.
#[cfg(not(unix))]
pub(crate) fn raise(_: usize) {}
