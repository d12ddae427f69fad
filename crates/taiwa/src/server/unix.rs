//! Unix sockets by path: made, taken over from a dead server, removed at the end.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Connections that wait to be accepted; as tokio has it for TCP.
const BACKLOG: u32 = 1024;

/// The file of a socket of ours; removed when dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: Identity,
}

/// Device and inode: which file stands at a path.
type Identity = (u64, u64);

fn identity(path: &Path) -> io::Result<(Identity, fs::Metadata)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(((metadata.dev(), metadata.ino()), metadata))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another server may have taken the place.
        if identity(&self.path).is_ok_and(|(there, _)| there == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`; takes the place of a socket on which nobody listens any more.
pub(super) async fn bind(path: &Path, mode: Option<u32>) -> io::Result<(UnixListener, SocketFile)> {
    // The working folder may change until the file is removed.
    let path = std::path::absolute(path)?;
    let bound = UnixSocket::new_stream()?;
    let bound = match bound.bind(&path) {
        Ok(()) => bound,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(&path).await?;
            let again = UnixSocket::new_stream()?;
            again.bind(&path)?;
            again
        }
        Err(error) => return Err(error),
    };
    let file = SocketFile { identity: identity(&path)?.0, path };
    // Between bind and listen nobody can connect: no moment has a wider mode than asked for.
    if let Some(mode) = mode {
        fs::set_permissions(&file.path, fs::Permissions::from_mode(mode))?;
    }
    Ok((bound.listen(BACKLOG)?, file))
}

/// Removes the socket at `path` if it refuses connections: its server has died without removing it.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = |why| Err(io::Error::new(io::ErrorKind::AddrInUse, why));
    let (tried, metadata) = identity(path)?;
    if !metadata.file_type().is_socket() {
        return in_use("there is a file at the path that is no socket");
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Ok(_) => return in_use("another server listens at the path"),
        Err(error) => return Err(error),
    }
    if identity(path)?.0 != tried {
        return in_use("another server began to listen at the path");
    }
    fs::remove_file(path)
}
