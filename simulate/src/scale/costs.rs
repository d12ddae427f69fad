//! What things cost, as simulate/costs.json has it.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

/// How a figure is known.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// By a command that repeats it.
    Measured,
    /// Made of measured ones.
    Derived,
    /// By nothing better than experience.
    Assumed,
}

/// What something costs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// What costs it.
    pub what: String,
    /// How much.
    pub figure: f64,
    /// Of what.
    pub unit: String,
    /// How it is known.
    pub how: How,
    /// The row of the benchmark or the command that says so, or why it is assumed.
    pub source: String,
    /// Where among the results of the benchmark it stands: row, server, figure.
    #[serde(default)]
    pub bench: Option<[String; 3]>,
}

/// All of them, by name.
#[derive(Clone, Debug, Deserialize)]
pub struct Costs(pub BTreeMap<String, Cost>);

impl Costs {
    /// Returns those that the program was built with.
    pub fn committed() -> &'static Self {
        static ALL: LazyLock<Costs> = LazyLock::new(|| {
            serde_json::from_str(include_str!("../../costs.json")).expect("costs.json is whole")
        });
        &ALL
    }

    /// Returns one of them.
    ///
    /// # Panics
    /// If there is none of that name: names stand in the program alone.
    pub fn of(&self, name: &str) -> f64 {
        self.0.get(name).unwrap_or_else(|| panic!("there is no cost {name}")).figure
    }
}
