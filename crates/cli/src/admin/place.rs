//! Where a server's socket for `taiwa admin` is, and how it is found.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where the socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AdminSocket {
    /// In a folder of the user's own, under the number of the process; written `auto`.
    Auto,
    /// Nowhere; written `off`.
    Off,
    Path(PathBuf),
}

impl FromStr for AdminSocket {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            path if path.starts_with('/') => Ok(Self::Path(path.into())),
            _ => Err("say auto, off or a path that begins with /"),
        }
    }
}

impl fmt::Display for AdminSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

/// How the names of sockets end that are made by themselves.
pub(crate) const ENDING: &str = "sock";

/// Returns the folders where sockets may be, the one where a server puts its own first.
pub(crate) fn folders() -> Vec<PathBuf> {
    let named = |name: &str, rest: &str| {
        // Several folders of systemd's are separated by colons; ours is the first.
        let value = env::var(name).ok().filter(|it| it.starts_with('/'))?;
        let first = Path::new(value.split(':').next().unwrap_or_default());
        Some(if rest.is_empty() { first.to_owned() } else { first.join(rest) })
    };
    let all = [
        // Of a service of systemd with RuntimeDirectory=taiwa: /run/taiwa.
        named("RUNTIME_DIRECTORY", ""),
        named("XDG_RUNTIME_DIR", "taiwa"),
        Some(PathBuf::from("/run/taiwa")),
        Some(env::temp_dir().join(format!("taiwa-{}", user()))),
    ];
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in all.into_iter().flatten() {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

#[cfg(unix)]
pub(crate) fn user() -> u32 {
    nix::unistd::getuid().as_raw()
}

#[cfg(not(unix))]
pub(crate) fn user() -> u32 {
    0
}

/// Returns the sockets that are there, whether anybody listens or not.
pub(crate) fn found() -> Vec<PathBuf> {
    folders().iter().filter(|it| is_safe(it)).flat_map(|it| found_in(it)).collect()
}

/// Returns the sockets in a folder.
pub(crate) fn found_in(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten().map(|it| it.path());
    let is_socket = |it: &PathBuf| it.extension().is_some_and(|it| it == ENDING);
    let mut sockets: Vec<_> = entries.filter(is_socket).collect();
    sockets.sort();
    sockets
}

/// Tells whether a server in this folder can be believed to be one. Where all may make folders, another user could have
/// made this one.
#[cfg(unix)]
fn is_safe(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    !folder.starts_with(env::temp_dir())
        || folder.symlink_metadata().is_ok_and(|it| it.is_dir() && it.uid() == user())
}

#[cfg(not(unix))]
fn is_safe(_: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_they_are_read() {
        for text in ["auto", "off", "/run/taiwa/admin.sock"] {
            assert_eq!(text.parse::<AdminSocket>().unwrap().to_string(), text);
        }
        for bad in ["", "on", "admin.sock", "unix:/run/x.sock"] {
            assert!(bad.parse::<AdminSocket>().is_err(), "{bad}");
        }
    }
}
