//! How many nodes and brokers a number of connections takes: computed from what was measured ([`Costs`]) and what is assumed
//! ([`Machine`], [`Use`]), with simulations of what the arithmetic rests on ([`trials`]). docs/scale.md shows it all.

mod costs;
mod plan;
pub mod trials;
mod page;

pub use costs::{Cost, Costs, How};
pub use page::filled;
pub use plan::{MACHINE, Machine, Plan, USES, Use};
