//! [`Certificates`]: what a server shows of itself, exchangeable while it runs.

use std::{
    collections::BTreeMap,
    fmt, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use rustls::{
    client::verify_server_name,
    crypto::aws_lc_rs,
    pki_types::{PrivateKeyDer, ServerName, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{certificates, tls_error};
use crate::error::Error;

/// The certificates of a server and their private keys, in PEM: a chain whose first certificate is the
/// server's own, and its key.
///
/// A clone is the same set: keep one, and exchange certificates while the server runs. TLS handshakes that
/// begin afterwards see the new one; connections that are open go on. A pair that can't be read, or whose
/// halves don't fit each other, is refused, and what was shown before stays.
///
/// A client that resumes an earlier session (RFC 8446 §2.2) is not shown any certificate: for as long as its
/// ticket is good, at most 12 hours, it sees a new one only if it wants to.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), taiwa::Error> {
/// use taiwa::{Certificates, Client, CloseCode, Server, Upgrade};
///
/// # let make = || {
/// #     let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
/// #     (made.cert.pem(), made.signing_key.serialize_pem())
/// # };
/// # let ((old, old_key), (new, new_key)) = (make(), make());
/// // Or `Certificates::from_files`, with `reload` and `check_every`.
/// let certificates = Certificates::new(old.as_bytes(), old_key.as_bytes())?;
/// let server = Server::bind("127.0.0.1:0").await?.tls_reloading(certificates.clone());
/// let url = format!("wss://{}/", server.local_addr()?);
/// # let serve = |it: Upgrade| async move { it.accept().await?.recv().await.map(drop) };
/// tokio::spawn(server.serve(serve).into_future());
///
/// certificates.replace(new.as_bytes(), new_key.as_bytes())?;
/// let client = Client::builder().root_certificate_pem(new.as_bytes()).build()?;
/// let mut socket = client.connect(&url).await?;
/// socket.close(CloseCode::NORMAL, "").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Certificates {
    held: Arc<Held>,
    check_every: Option<Duration>,
}

struct Held {
    shown: RwLock<Shown>,
    files: Option<Files>,
}

struct Shown {
    default: Arc<CertifiedKey>,
    by_name: BTreeMap<String, Arc<CertifiedKey>>,
}

struct Files {
    /// Of certificates and key.
    paths: Mutex<(PathBuf, PathBuf)>,
    seen: Mutex<Seen>,
}

/// What the files had in them, as a hash.
#[derive(Default)]
struct Seen {
    shown: u64,
    /// What was no good, and how often it was found in a row.
    bad: Option<(u64, u32)>,
}

/// The least of [`Certificates::check_every`].
const CHECK_EVERY_MIN: Duration = Duration::from_millis(100);

impl Certificates {
    /// Takes a chain of certificates and its private key.
    ///
    /// # Errors
    /// [`Error::Tls`] if one of them can't be read or they don't fit each other.
    pub fn new(certificates_pem: &[u8], key_pem: &[u8]) -> Result<Self, Error> {
        Ok(Self::hold(pair(certificates_pem, key_pem)?, None))
    }

    /// Reads a chain of certificates and its private key from files. They may be the same file.
    ///
    /// # Errors
    /// [`Error::Io`] if a file can't be read, and as [`new`](Self::new).
    pub fn from_files(
        certificates: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, Error> {
        let paths = Mutex::new((certificates.into(), key.into()));
        let files = Files { paths, seen: Mutex::default() };
        let texts = files.read()?;
        let default = pair(&texts.0, &texts.1)?;
        lock(&files.seen).shown = hash(&texts);
        Ok(Self::hold(default, Some(files)))
    }

    fn hold(default: Arc<CertifiedKey>, files: Option<Files>) -> Self {
        let shown = RwLock::new(Shown { default, by_name: BTreeMap::new() });
        Self { held: Arc::new(Held { shown, files }), check_every: None }
    }

    /// Has the server that gets this handle read the files again and again, and show what has changed.
    /// Default: it does not. Less than 100 ms counts as 100 ms.
    ///
    /// Files that are being exchanged may not fit each other for a moment. What is no good is told to
    /// [`Serving::on_error`](crate::Serving::on_error) once, when it is found unchanged for a second time.
    #[must_use]
    pub fn check_every(mut self, every: Duration) -> Self {
        self.check_every = Some(every.max(CHECK_EVERY_MIN));
        self
    }

    /// Shows another certificate from now on, in place of the one that this was made with.
    ///
    /// # Errors
    /// As [`new`](Self::new); then nothing is changed.
    pub fn replace(&self, certificates_pem: &[u8], key_pem: &[u8]) -> Result<(), Error> {
        self.held.write().default = pair(certificates_pem, key_pem)?;
        Ok(())
    }

    /// Reads the files again and shows what is in them. Returns whether they have changed; `false` for a
    /// handle that was not made from files. It blocks for as long as reading two small files does.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files); then nothing is changed.
    pub fn reload(&self) -> Result<bool, Error> {
        let Some(files) = &self.held.files else { return Ok(false) };
        self.held.show(files, &files.read()?)
    }

    /// Reads other files from now on, and shows what is in them. Returns whether that is something else than before;
    /// `false`, with nothing done, for a handle that was not made from files. It blocks as [`reload`](Self::reload) does.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files); then nothing is changed, and the files are those from before.
    pub fn reload_from(
        &self,
        certificates: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<bool, Error> {
        let Some(files) = &self.held.files else { return Ok(false) };
        let paths = (certificates.into(), key.into());
        let others = Files { paths: Mutex::new(paths.clone()), seen: Mutex::default() };
        let has_changed = self.held.show(files, &others.read()?)?;
        *lock(&files.paths) = paths;
        Ok(has_changed)
    }

    /// Shows a certificate of its own to clients that ask for `name` (SNI, RFC 6066 §3), in place of what was
    /// inserted for this name before. `*.a.example` stands for all names with one more label. Clients that ask
    /// for other names, or none, are shown the one that this was made with.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`Error::Tls`] if the certificate is not good for the name.
    pub fn insert(&self, name: &str, certificates_pem: &[u8], key_pem: &[u8]) -> Result<(), Error> {
        let name = name.to_ascii_lowercase();
        let key = pair(certificates_pem, key_pem)?;
        // A wildcard of a certificate stands for any one label, too.
        let example = name.strip_prefix("*.").map(|it| format!("a.{it}"));
        let example = ServerName::try_from(example.unwrap_or_else(|| name.clone()));
        let own = ParsedCertificate::try_from(key.end_entity_cert().map_err(tls_error)?);
        verify_server_name(&own.map_err(tls_error)?, &example.map_err(tls_error)?)
            .map_err(tls_error)?;
        self.held.write().by_name.insert(name, key);
        Ok(())
    }

    /// Takes a certificate of a name away again; returns whether there was one.
    pub fn remove(&self, name: &str) -> bool {
        self.held.write().by_name.remove(&name.to_ascii_lowercase()).is_some()
    }

    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.held) as _
    }

    /// Returns how often to [check](Self::check); `None` never.
    pub(crate) fn checked_every(&self) -> Option<Duration> {
        self.held.files.as_ref().and(self.check_every)
    }

    /// Reads the files; an error comes once, when it is no matter of a moment.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Some(files) = &self.held.files else { return Ok(()) };
        let texts = files.read();
        let found = match &texts {
            Ok(texts) => hash(texts),
            Err(error) => hash(&error.to_string()),
        };
        let Err(error) = texts.and_then(|it| self.held.show(files, &it)) else { return Ok(()) };
        let mut seen = lock(&files.seen);
        let times = match seen.bad {
            Some((before, times)) if before == found => times.saturating_add(1),
            _ => 1,
        };
        seen.bad = Some((found, times));
        if times == 2 { Err(error) } else { Ok(()) }
    }
}

/// Tells names and files, never a key.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.held.files.as_ref();
        f.debug_struct("Certificates")
            .field("names", &self.held.read().by_name.keys().collect::<Vec<_>>())
            .field("files", &files.map(Files::paths))
            .field("check_every", &self.check_every)
            .finish_non_exhaustive()
    }
}

impl Held {
    /// Shows what was read from the files, if it has changed.
    fn show(&self, files: &Files, texts: &Texts) -> Result<bool, Error> {
        let found = hash(texts);
        let mut seen = lock(&files.seen);
        if seen.shown != found {
            let key = pair(&texts.0, &texts.1)?;
            *seen = Seen { shown: found, bad: None };
            self.write().default = key;
            return Ok(true);
        }
        seen.bad = None;
        Ok(false)
    }

    /// No code that can panic runs under this lock.
    fn read(&self) -> RwLockReadGuard<'_, Shown> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shown> {
        self.shown.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Held {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let shown = self.read();
        let named = hello.server_name().filter(|_| !shown.by_name.is_empty()).and_then(|name| {
            let name = name.to_ascii_lowercase();
            shown.by_name.get(&name).or_else(|| {
                let (_, parent) = name.split_once('.')?;
                shown.by_name.get(&format!("*.{parent}"))
            })
        });
        Some(Arc::clone(named.unwrap_or(&shown.default)))
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

/// Certificates and key.
type Texts = (Vec<u8>, Vec<u8>);

impl Files {
    fn read(&self) -> Result<Texts, Error> {
        let read = |path: &Path| {
            fs::read(path).map_err(|error| {
                Error::Io(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
            })
        };
        let (certificates, key) = self.paths();
        Ok((read(&certificates)?, read(&key)?))
    }

    fn paths(&self) -> (PathBuf, PathBuf) {
        lock(&self.paths).clone()
    }
}

fn pair(certificates_pem: &[u8], key_pem: &[u8]) -> Result<Arc<CertifiedKey>, Error> {
    let chain = certificates(certificates_pem)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(tls_error)?;
    let provider = aws_lc_rs::default_provider();
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &provider).map_err(tls_error)?))
}

fn hash(it: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    it.hash(&mut hasher);
    hasher.finish()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
