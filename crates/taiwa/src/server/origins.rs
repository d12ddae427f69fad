//! [`Origins`]: which pages may connect.

/// Which pages may connect, by the `Origin` header that browsers send (RFC 6455 §10.2). Requests without
/// it, from programs that are no browsers, always may.
///
/// ```
/// use taiwa::Origins;
/// let origins = Origins::same_host().allow("https://app.example");
/// # let _ = origins;
/// ```
#[derive(Clone, Debug)]
pub struct Origins {
    any: bool,
    allowed: Vec<String>,
}

impl Origins {
    /// Pages that come from the host and port of the `Host` header. The default.
    pub fn same_host() -> Self {
        Self { any: false, allowed: Vec::new() }
    }

    /// All pages: any page in a browser can then act with the cookies of its visitor.
    pub fn any() -> Self {
        Self { any: true, allowed: Vec::new() }
    }

    /// Adds one origin, written as in the header, for example `https://app.example`.
    #[must_use]
    pub fn allow(mut self, origin: impl Into<String>) -> Self {
        self.allowed.push(origin.into());
        self
    }
}
