//! Channels and who listens to them. Knows no dialect, no socket and no runtime.
