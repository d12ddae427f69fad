//! Fills the tables of docs/scale.md: `cargo run -p taiwa-simulate --bin scale`.

use std::{error::Error, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/scale.md");
    let page = fs::read_to_string(path)?;
    let filled = taiwa_simulate::scale::filled(&page)?;
    if filled != page {
        fs::write(path, filled)?;
        println!("docs/scale.md: the tables have changed");
    }
    Ok(())
}
