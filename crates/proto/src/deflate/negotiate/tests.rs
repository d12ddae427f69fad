//! Offers and the answers to them.
