//! [`Certificates`]: what a server shows of itself, exchangeable while it runs.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
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

use super::{alpn, certificates, files::FilePair, tls_error};
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
    /// Empty if it was made from no files. The first is the one that is shown to who asks for no name.
    files: Mutex<Vec<FilePair>>,
}

struct Shown {
    default: Arc<CertifiedKey>,
    by_name: BTreeMap<String, Arc<CertifiedKey>>,
    /// Of several files, by the names in them.
    by_file: BTreeMap<String, Arc<CertifiedKey>>,
    /// For ACME servers alone.
    challenges: BTreeMap<String, Arc<CertifiedKey>>,
}

/// The least of [`Certificates::check_every`].
const CHECK_EVERY_MIN: Duration = Duration::from_millis(100);

impl Certificates {
    /// Takes a chain of certificates and its private key.
    ///
    /// # Errors
    /// [`Error::Tls`] if one of them can't be read or they don't fit each other.
    pub fn new(certificates_pem: &[u8], key_pem: &[u8]) -> Result<Self, Error> {
        Ok(Self::hold(pair(certificates_pem, key_pem)?, Vec::new()))
    }

    /// Reads a chain of certificates and its private key from files. They may be the same file.
    ///
    /// # Errors
    /// [`Error::Io`] if a file can't be read, and as [`new`](Self::new).
    pub fn from_files(
        certificates: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, Error> {
        Self::from_several_files([(certificates, key)])
    }

    /// Reads several chains of certificates, each with the file of its private key. Clients that ask for a name (SNI, RFC
    /// 6066 §3) are shown the first one that is good for it, also by a wildcard; those that ask for another name, or none,
    /// the first of all.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = std::env::temp_dir().join(format!("taiwa-doc-names-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # for name in ["a.example", "b.example"] {
    /// #     let made = rcgen::generate_simple_self_signed([name.to_owned()])?;
    /// #     std::fs::write(folder.join(format!("{name}.pem")), made.cert.pem() + &made.signing_key.serialize_pem())?;
    /// # }
    /// let pairs = ["a.example", "b.example"].map(|name| {
    ///     let file = folder.join(format!("{name}.pem"));
    ///     (file.clone(), file)
    /// });
    /// let certificates = taiwa::Certificates::from_several_files(pairs)?;
    /// assert!(!certificates.reload()?, "nothing has changed");
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files), and [`Error::Tls`] without any files.
    pub fn from_several_files(
        pairs: impl IntoIterator<Item = (impl Into<PathBuf>, impl Into<PathBuf>)>,
    ) -> Result<Self, Error> {
        let files = FilePair::read_all(pairs)?;
        Ok(Self::hold(Arc::clone(files[0].held()), files))
    }

    fn hold(default: Arc<CertifiedKey>, files: Vec<FilePair>) -> Self {
        let by_file = FilePair::by_name(&files);
        let (by_name, challenges) = Default::default();
        let shown = RwLock::new(Shown { default, by_name, by_file, challenges });
        Self { held: Arc::new(Held { shown, files: Mutex::new(files) }), check_every: None }
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
    /// handle that was not made from files. It blocks for as long as reading small files does.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files), the first one; what is no good stays as it was, other files count.
    pub fn reload(&self) -> Result<bool, Error> {
        let mut files = lock(&self.held.files);
        let mut failed = None;
        let mut has_changed = false;
        for pair in files.iter_mut() {
            match pair.reload() {
                Ok(it) => has_changed |= it,
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if has_changed {
            self.held.show(&files);
        }
        failed.map_or(Ok(has_changed), Err)
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
        self.reload_from_several([(certificates, key)])
    }

    /// Reads several other files from now on, as [`reload_from`](Self::reload_from) does two.
    ///
    /// # Errors
    /// As [`from_several_files`](Self::from_several_files); then nothing is changed, and the files are those from before.
    pub fn reload_from_several(
        &self,
        pairs: impl IntoIterator<Item = (impl Into<PathBuf>, impl Into<PathBuf>)>,
    ) -> Result<bool, Error> {
        let mut files = lock(&self.held.files);
        if files.is_empty() {
            return Ok(false);
        }
        let others = FilePair::read_all(pairs)?;
        let has_changed = !FilePair::are_alike(&files, &others);
        *files = others;
        if has_changed {
            self.held.show(&files);
        }
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

    /// Shows a certificate that answers a challenge for `name` to an ACME server, which asks by the protocol `acme-tls/1`
    /// alone (RFC 8737 §3), and to nobody else. The connection ends with the handshake, as that server expects it.
    /// Without one for the name, such a handshake fails.
    ///
    /// # Errors
    /// [`Error::Tls`] if one of them can't be read.
    pub fn insert_challenge(
        &self,
        name: &str,
        certificate_pem: &[u8],
        key_pem: &[u8],
    ) -> Result<(), Error> {
        let chain = certificates(certificate_pem)?;
        let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(tls_error)?;
        let key = aws_lc_rs::sign::any_supported_type(&key).map_err(tls_error)?;
        // Whether they fit can't be asked: the certificate has a critical extension that is for ACME servers alone.
        let key = Arc::new(CertifiedKey::new(chain, key));
        self.held.write().challenges.insert(name.to_ascii_lowercase(), key);
        Ok(())
    }

    /// Takes the answer to a challenge away again; returns whether there was one.
    pub fn remove_challenge(&self, name: &str) -> bool {
        self.held.write().challenges.remove(&name.to_ascii_lowercase()).is_some()
    }

    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.held) as _
    }

    /// Returns how often to [check](Self::check); `None` never.
    pub(crate) fn checked_every(&self) -> Option<Duration> {
        self.check_every.filter(|_| !lock(&self.held.files).is_empty())
    }

    /// Reads the files; each error comes once, when it is no matter of a moment.
    pub(crate) fn check(&self) -> Vec<Error> {
        let mut files = lock(&self.held.files);
        let mut has_changed = false;
        let checked = files.iter_mut().filter_map(|it| {
            let (changed, error) = it.check();
            has_changed |= changed;
            error
        });
        let errors = checked.collect();
        if has_changed {
            self.held.show(&files);
        }
        errors
    }
}

/// Tells names and files, never a key.
impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = lock(&self.held.files);
        f.debug_struct("Certificates")
            .field("names", &self.held.read().by_name.keys().collect::<Vec<_>>())
            .field("files", &files.iter().map(FilePair::paths).collect::<Vec<_>>())
            .field("check_every", &self.check_every)
            .finish_non_exhaustive()
    }
}

impl Held {
    /// Shows what the files have in them.
    fn show(&self, files: &[FilePair]) {
        let Some(first) = files.first() else { return };
        let mut shown = self.write();
        shown.default = Arc::clone(first.held());
        shown.by_file = FilePair::by_name(files);
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
        let name = hello.server_name().map(str::to_ascii_lowercase);
        // RFC 8737 §3: "The ACME server MUST provide an ALPN extension with the single protocol name "acme-tls/1" and an SNI
        // extension containing only the domain name being validated during the TLS handshake."
        if hello.alpn().is_some_and(|mut it| it.next() == Some(alpn::ACME) && it.next().is_none()) {
            return shown.challenges.get(&name?).map(Arc::clone);
        }
        let named = name.and_then(|name| {
            let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
            let of = |map: &BTreeMap<_, _>| {
                map.get(&name).or_else(|| map.get(wildcard.as_ref()?)).map(Arc::clone)
            };
            of(&shown.by_name).or_else(|| of(&shown.by_file))
        });
        Some(named.unwrap_or_else(|| Arc::clone(&shown.default)))
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates")
    }
}

pub(super) fn pair(certificates_pem: &[u8], key_pem: &[u8]) -> Result<Arc<CertifiedKey>, Error> {
    let chain = certificates(certificates_pem)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(tls_error)?;
    let provider = aws_lc_rs::default_provider();
    Ok(Arc::new(CertifiedKey::from_der(chain, key, &provider).map_err(tls_error)?))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
