//! Writes the JavaScript that a module of wasm-bindgen needs, and the module for it: `glue MODULE FOLDER`.

use std::{env, process::ExitCode};

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let [module, folder] = &args[..] else {
        eprintln!("usage: glue MODULE FOLDER");
        return ExitCode::from(2);
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name("checks").typescript(false);
    let made = bindgen.web(true).and_then(|it| it.generate(folder));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("glue: {module}: {why:#}");
            ExitCode::FAILURE
        }
    }
}
