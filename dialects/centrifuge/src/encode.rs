//! Publications, written once for all.
