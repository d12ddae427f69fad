//! Tests of `compat::axum`.

mod alike;
mod published_by_axum;
