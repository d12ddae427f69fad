//! Certificates that lie in files, and what was seen there.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::{certificates::pair, tls_error};
use crate::error::Error;

/// The files of a chain and of its key.
pub(super) struct FilePair {
    certificates: PathBuf,
    key: PathBuf,
    held: Arc<CertifiedKey>,
    /// The DNS names in the certificate, in lower case.
    names: Vec<String>,
    /// What the files had in them, as a hash.
    seen: u64,
    /// What was no good, and how often it was found in a row.
    bad: Option<(u64, u32)>,
}

/// Certificates and key.
type Texts = (Vec<u8>, Vec<u8>);

impl FilePair {
    /// Reads them all; there is at least one.
    pub(super) fn read_all(
        pairs: impl IntoIterator<Item = (impl Into<PathBuf>, impl Into<PathBuf>)>,
    ) -> Result<Vec<Self>, Error> {
        let read = pairs.into_iter().map(|(certificates, key)| {
            let (certificates, key) = (certificates.into(), key.into());
            let texts = read(&certificates, &key)?;
            let (held, names) = parse(&texts)?;
            Ok(Self { certificates, key, held, names, seen: hash(&texts), bad: None })
        });
        let read = read.collect::<Result<Vec<_>, Error>>()?;
        if read.is_empty() { Err(tls_error("no files of certificates")) } else { Ok(read) }
    }

    /// Returns the certificates by their names, if there is any choice: of two for the same name, the first.
    pub(super) fn by_name(files: &[Self]) -> BTreeMap<String, Arc<CertifiedKey>> {
        let mut found = BTreeMap::new();
        if files.len() > 1 {
            for file in files {
                for name in &file.names {
                    found.entry(name.clone()).or_insert_with(|| Arc::clone(&file.held));
                }
            }
        }
        found
    }

    /// Returns whether the same certificates are in them, in the same order.
    pub(super) fn are_alike(these: &[Self], those: &[Self]) -> bool {
        these.iter().map(|it| it.seen).eq(those.iter().map(|it| it.seen))
    }

    pub(super) fn held(&self) -> &Arc<CertifiedKey> {
        &self.held
    }

    pub(super) fn paths(&self) -> (&Path, &Path) {
        (&self.certificates, &self.key)
    }

    /// Reads the files again; returns whether they have changed.
    pub(super) fn reload(&mut self) -> Result<bool, Error> {
        let texts = read(&self.certificates, &self.key)?;
        self.take(&texts)
    }

    /// Reads the files again; returns whether they have changed, and an error when it was found twice in a row.
    pub(super) fn check(&mut self) -> (bool, Option<Error>) {
        let texts = read(&self.certificates, &self.key);
        let found = match &texts {
            Ok(texts) => hash(texts),
            Err(error) => hash(&error.to_string()),
        };
        let before = self.bad;
        match texts.and_then(|it| self.take(&it)) {
            Ok(has_changed) => (has_changed, None),
            Err(error) => {
                let times = match before {
                    Some((before, times)) if before == found => times.saturating_add(1),
                    _ => 1,
                };
                self.bad = Some((found, times));
                (false, (times == 2).then_some(error))
            }
        }
    }

    fn take(&mut self, texts: &Texts) -> Result<bool, Error> {
        let found = hash(texts);
        let has_changed = self.seen != found;
        if has_changed {
            (self.held, self.names) = parse(texts)?;
            self.seen = found;
        }
        self.bad = None;
        Ok(has_changed)
    }
}

fn parse(texts: &Texts) -> Result<(Arc<CertifiedKey>, Vec<String>), Error> {
    let held = pair(&texts.0, &texts.1)?;
    let own = held.end_entity_cert().map_err(tls_error)?;
    let own = EndEntityCert::try_from(own).map_err(|it| tls_error(it.to_string()))?;
    let names = own.valid_dns_names().map(str::to_ascii_lowercase).collect();
    Ok((held, names))
}

fn read(certificates: &Path, key: &Path) -> Result<Texts, Error> {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| {
            Error::Io(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        })
    };
    Ok((read(certificates)?, read(key)?))
}

fn hash(it: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    it.hash(&mut hasher);
    hasher.finish()
}
